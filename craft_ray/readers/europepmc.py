"""Answers of Europe PMC in XML (https://europepmc.org/RestfulWebService), of the result types `lite` and `core`.

Those in JSON are records like others, and these are read by the same rules.
"""

from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Item
from craft_ray.readers.reader import Reader, ReadOptions
from craft_ray.readers.records import document_from_record
from craft_ray.readers.xml import iter_elements, text_of


def read_europepmc(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Document per result; those without an id are numbered from 1."""
    for number, result in enumerate(iter_elements(stream, ("result",)), start=1):
        record = {child.tag: text_of(child) for child in result if isinstance(child.tag, str) and not len(child)}
        if (journal := result.findtext("journalInfo/journal/title")) is not None:
            record["journal"] = journal
        yield document_from_record(record, f"{shard}#{number}", options)


READER = Reader("europepmc", read_europepmc, shared_suffixes=("xml",), roots=("responseWrapper",))
