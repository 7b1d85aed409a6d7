"""Ids of documents to delete, one per line, as in PubMed's `deleted.pmids.gz`."""

from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Deletion, Item, Rejection
from craft_ray.readers.limits import bounded_lines
from craft_ray.readers.reader import Reader, ReadOptions


def read_deletions(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Deletion per line. A number is a PMID, anything else a `doc_id`; lines that start with # are comments."""
    for number, line in enumerate(bounded_lines(stream), start=1):
        item_id = f"{shard}#{number}"
        if line is None:
            yield Rejection(item_id, "too_large", "a line that is too large for an id")
            continue
        try:
            name = line.decode().strip().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            yield Rejection(item_id, "bad_encoding", str(error))
            continue
        if name and not name.startswith("#"):
            yield Deletion(f"PMID:{name}" if name.isascii() and name.isdecimal() else name)


READER = Reader("deletions", read_deletions, suffixes=("pmids",))
