"""How much of a shard is held at once: what no document needs is refused before it is in memory.

Compressed bytes tell nothing of what they unpack to, so all is measured on the way out: a line, or whatever a parser
takes in between two records.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from craft_ray.core.errors import ShardError

MAX_DOCUMENT_BYTES = 256 << 20
"""Bytes of one document. An article of 100 MB passes, markup and all."""

JSON, XML = b"[{,:", b"<=&"
"""Characters that begin an object in a parser's memory."""

_OBJECT = 16
"""Bytes that such a character counts for beyond itself; the objects are larger, but few documents are all markup."""

_CHUNK, _LARGE_CHUNK = 1 << 16, 32 << 20


class BoundedReader:
    """Reads a stream for a parser; what stands before damage is given before the damage is told.

    markup:  characters that count for the objects that they begin
    growing: give larger pieces within a large record, for a parser that begins an open string anew with each piece

    Raises ShardError (`too_large`) once it has read more than MAX_DOCUMENT_BYTES since the last `reset`.
    """

    def __init__(self, stream: BinaryIO, markup: bytes = b"", growing: bool = False) -> None:
        self._stream, self._markup, self._read = cast(io.BufferedIOBase, stream), markup, 0
        self._largest_piece = _LARGE_CHUNK if growing else 0
        self._damage: ShardError | None = None

    def read(self, size: int = _CHUNK) -> bytes:
        """The next `size` bytes, more if growing; fewer only before the end or damage."""
        if self._damage is not None:
            raise self._damage
        missing = max(size, min(self._read, self._largest_piece))
        parts: list[bytes] = []
        try:
            while missing > 0 and (part := self._stream.read1(missing)):
                parts.append(part)
                missing -= len(part)
        except ShardError as error:
            self._damage = error
        content = b"".join(parts)
        if self._damage is not None and not content:
            raise self._damage
        self._read += weight(content, self._markup)
        if self._read > MAX_DOCUMENT_BYTES:
            raise too_large()
        return content

    def reset(self) -> None:
        """Begin anew, since a parser has given out what it had read."""
        self._read = 0


def weight(content: bytes, markup: bytes) -> int:
    """The size of content, each character of `markup` counted for the object that it begins."""
    return len(content) + _OBJECT * sum(map(content.count, markup))


def lines(stream: BinaryIO, markup: bytes = b"") -> Iterator[bytes | None]:
    """Yield each line, or None for one that is too large; that one is passed over and the next is read."""
    while line := stream.readline(MAX_DOCUMENT_BYTES + 1):
        if len(line) <= MAX_DOCUMENT_BYTES:
            yield line if weight(line, markup) <= MAX_DOCUMENT_BYTES else None
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_CHUNK)
        yield None


def read_all(stream: BinaryIO) -> bytes:
    """All of a stream.

    Raises ShardError (`too_large`) if that is more than MAX_DOCUMENT_BYTES.
    """
    content = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise too_large()
    return content


def too_large() -> ShardError:
    """The error of a document above MAX_DOCUMENT_BYTES."""
    return ShardError("too_large", f"a document of more than {MAX_DOCUMENT_BYTES >> 20} MB, or one with as much markup")
