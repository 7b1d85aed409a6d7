"""Plain text: one document per file, kept byte for byte, line ends and byte order mark included."""

from collections.abc import Iterator
from typing import BinaryIO

from craft_ray.core.schema import Item, Rejection, document_of
from craft_ray.readers.limits import bounded_content
from craft_ray.readers.reader import Reader, ReadOptions, not_utf8


def read_text(stream: BinaryIO, shard: str, options: ReadOptions) -> Iterator[Item]:
    try:
        text = bounded_content(stream).decode("utf-8")
    except UnicodeDecodeError as error:
        yield Rejection(shard, "bad_encoding", not_utf8(error))
        return
    if "\0" in text:
        yield Rejection(shard, "bad_encoding", "zero bytes: no text, or UTF-16 without a byte order mark")
    else:
        yield document_of(shard, text)


READER = Reader("text", read_text, shared_suffixes=("txt",), matches=lambda head: head.suffix == "txt")
