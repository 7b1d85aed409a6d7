"""Bounds on memory while reading. They count decompressed bytes, since a small file may decompress to terabytes."""

import io
from collections.abc import Iterator
from typing import BinaryIO, cast

from craft_ray.core.errors import ShardError

MAX_DOCUMENT_BYTES = 256 << 20

JSON, XML = b"[{,:", b"<=&"
"""Characters for which a parser allocates an object."""

_OBJECT_BYTES = 16
"""Counted for each such character. Objects are larger, but few documents are all markup."""

_CHUNK, _LARGE_CHUNK = 1 << 16, 32 << 20


class BoundedReader:
    """A stream for parsers that raises ShardError (`too_large`) after MAX_DOCUMENT_BYTES without a `reset`.

    If the stream is damaged, the bytes before the damage are returned first and the error is raised by the next read.

    markup:  characters that count for the objects they create
    growing: return larger chunks within a large record, for parsers that copy an unfinished string with each chunk
    """

    def __init__(self, stream: BinaryIO, markup: bytes = b"", growing: bool = False) -> None:
        self._stream, self._markup, self._read = cast(io.BufferedIOBase, stream), markup, 0
        self._largest_chunk = _LARGE_CHUNK if growing else 0
        self._damage: ShardError | None = None

    def read(self, size: int = _CHUNK) -> bytes:
        """Return `size` bytes (more if growing), fewer only at the end or before damage."""
        if self._damage is not None:
            raise self._damage
        missing = max(size, min(self._read, self._largest_chunk))
        parts: list[bytes] = []
        try:
            while missing > 0 and (part := self._stream.read1(missing)):
                parts.append(part)
                missing -= len(part)
        except ShardError as error:
            self._damage = error
            if not parts:
                raise
        content = b"".join(parts)
        self._read += _weight(content, self._markup)
        if self._read > MAX_DOCUMENT_BYTES:
            raise too_large()
        return content

    def reset(self) -> None:
        """Start counting anew, after the parser has finished a record."""
        self._read = 0


def _weight(content: bytes, markup: bytes) -> int:
    return len(content) + _OBJECT_BYTES * sum(map(content.count, markup))


def bounded_lines(stream: BinaryIO, markup: bytes = b"") -> Iterator[bytes | None]:
    """Yield each line, or None in place of a line that is too large."""
    while line := stream.readline(MAX_DOCUMENT_BYTES + 1):
        if len(line) <= MAX_DOCUMENT_BYTES:
            yield line if _weight(line, markup) <= MAX_DOCUMENT_BYTES else None
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_CHUNK)
        yield None


def bounded_content(stream: BinaryIO) -> bytes:
    """Read a whole stream. Raises ShardError (`too_large`) for more than MAX_DOCUMENT_BYTES."""
    content = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise too_large()
    return content


def too_large() -> ShardError:
    return ShardError("too_large", f"a document of more than {MAX_DOCUMENT_BYTES >> 20} MB, or one with as much markup")
