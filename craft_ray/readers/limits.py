"""Bounds on memory while reading. They count decompressed bytes, since a small file may decompress to terabytes."""

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from craft_ray.core.errors import ShardError

MAX_DOCUMENT_BYTES = 256 << 20


class Markup(NamedTuple):
    """Characters for which a reader allocates an object, and the bytes that count for each.

    In JSON and XML, objects are larger, but few documents are all markup.
    """

    characters: bytes = b""
    object_bytes: int = 0

    def weigh(self, content: bytes) -> int:
        """The bytes that count for some content."""
        return len(content) + self.object_bytes * sum(map(content.count, self.characters))


TEXT, JSON, XML, LINES, CSV = (
    Markup(),
    Markup(b"[{,:", 16),
    Markup(b"<=&", 16),
    Markup(b"\n", 256),
    Markup(b",\t;|\n", 128),
)

_CHUNK, _LARGE_CHUNK = 1 << 16, 32 << 20


class Record:
    """Weighs the record that is being read."""

    def __init__(self, markup: Markup = TEXT) -> None:
        self._markup = markup
        self.weight = 0

    def add(self, content: bytes) -> None:
        """Add a part of the record. Raises ShardError (`too_large`) if the record exceeds MAX_DOCUMENT_BYTES."""
        self.weight += self._markup.weigh(content)
        if self.weight > MAX_DOCUMENT_BYTES:
            raise too_large()

    def reset(self) -> None:
        """Start the next record."""
        self.weight = 0


class BoundedReader(Record):
    """A stream for parsers that raises ShardError (`too_large`) after MAX_DOCUMENT_BYTES without a `reset`.

    If the stream is damaged, the bytes before the damage are returned first and the error is raised by the next read.

    growing: return larger chunks within a large record, for parsers that copy an unfinished string with each chunk
    """

    def __init__(self, stream: BinaryIO, markup: Markup = TEXT, growing: bool = False) -> None:
        super().__init__(markup)
        self._stream = cast(io.BufferedIOBase, stream)
        self._largest_chunk = _LARGE_CHUNK if growing else 0
        self._damage: ShardError | None = None

    def read(self, size: int = _CHUNK) -> bytes:
        """Return `size` bytes (more if growing), fewer only at the end or before damage."""
        if self._damage is not None:
            raise self._damage
        missing = max(size, min(self.weight, self._largest_chunk))
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
        self.add(content)
        return content


def bounded_lines(stream: BinaryIO, markup: Markup = TEXT) -> Iterator[bytes | None]:
    """Yield each line, or None in place of a line that is too large."""
    while line := stream.readline(MAX_DOCUMENT_BYTES + 1):
        if len(line) <= MAX_DOCUMENT_BYTES:
            yield line if markup.weigh(line) <= MAX_DOCUMENT_BYTES else None
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
