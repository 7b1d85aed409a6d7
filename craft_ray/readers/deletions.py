"""Ids of documents to delete, one per line, as in PubMed's `deleted.pmids.gz`."""

from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Deletion, Item, Rejection
from craft_ray.readers.limits import bounded_lines
from craft_ray.readers.reader import Reader, ReadOptions, not_utf8


def read_deletions(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Deletion per line. A number is a PMID, anything else a `doc_id`; lines that start with # are comments.

    A list that is only found among the inputs deletes PMIDs alone: whoever put it there need not own other documents.
    """
    any_id = options.format == READER.name
    for number, line in enumerate(bounded_lines(stream), start=1):
        item_id = f"{shard}#{number}"
        if line is None:
            yield Rejection(item_id, "too_large", "a line that is too large for an id")
            continue
        try:
            name = line.decode().strip().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            yield Rejection(item_id, "bad_encoding", not_utf8(error))
            continue
        if not name or name.startswith("#"):
            continue
        if name.isascii() and name.isdecimal():
            yield Deletion(f"PMID:{name}")
        elif any_id:
            yield Deletion(name)
        else:
            yield Rejection(item_id, "bad_record", f"{name} is no PMID; --deleted-from deletes other ids")


READER = Reader("deletions", read_deletions, suffixes=("pmids",))
