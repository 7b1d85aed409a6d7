"""Plain text: a document a file; its id is the shard's name and offsets are the file's, in code points."""

from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Item, Rejection, document_of
from craft_ray.readers.limits import read_all
from craft_ray.readers.reader import Reader, ReadOptions


def read_text(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    """Yield the file as one Document; nothing of it is changed, line ends and byte order marks included.

    Raises ShardError (`too_large`) if it is too large to hold.
    """
    try:
        text = read_all(stream).decode("utf-8")
    except UnicodeDecodeError as error:
        yield Rejection(shard, "bad_encoding", str(error))
        return
    yield document_of(shard, text)


READER = Reader("text", read_text, suffixes=("txt",), matches=lambda head: head.suffix == "txt")
