"""Lists of ids to delete, one on each line, as PubMed's `deleted.pmids.gz`."""

from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Deletion, Item, Rejection
from craft_ray.readers.limits import lines
from craft_ray.readers.reader import Reader, ReadOptions


def read_deletions(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield a Deletion per line; a bare number is a PMID, anything else an id as `documents` has it.

    Blank lines, and lines that begin with #, are passed over.
    """
    for number, line in enumerate(lines(stream), start=1):
        place = f"{shard}#{number}"
        if line is None:
            yield Rejection(place, "too_large", "a line that is too large for an id")
            continue
        try:
            name = line.decode().strip().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            yield Rejection(place, "bad_encoding", str(error))
            continue
        if name and not name.startswith("#"):
            yield Deletion(f"PMID:{name}" if name.isascii() and name.isdecimal() else name)


READER = Reader("deletions", read_deletions, suffixes=("pmids",), owned=("pmids",))
