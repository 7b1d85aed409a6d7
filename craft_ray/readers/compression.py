"""Compressed streams: gzip, bzip2, xz and Zstandard, told by their first bytes and read front to back."""

import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeAlias, cast

import pyarrow as pa

from craft_ray.core.errors import ShardError
from craft_ray.readers import limits
from craft_ray.readers.reader import HEAD_BYTES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER = 1 << 16

Stream: TypeAlias = "io.BufferedReader[io.RawIOBase]"


class _Content(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class _Arrow:
    """A stream that Arrow decompresses. Errors of the stream itself pass."""

    def __init__(self, stream: Stream, codec: str) -> None:
        self._stream = stream
        self._failure: Exception | None = None
        self.closed = False
        self._content = pa.CompressedInputStream(pa.PythonFile(self, "r"), codec)

    def read(self, size: int) -> bytes:
        """Called by Arrow."""
        try:
            return self._stream.read(size)
        except Exception as error:
            self._failure = error
            raise

    def read1(self, size: int) -> bytes:
        try:
            return cast(bytes, self._content.read(size))
        except (OSError, pa.ArrowException) as error:
            raise self._failure or ShardError("bad_gzip", str(error)) from None


class _Xz:
    """Like `lzma.LZMAFile`, with a bound on the dictionary, for which a file can claim 1.5 GB."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decompressor = _xz_decompressor()

    def read1(self, size: int) -> bytes:
        content = b""
        while not content:
            packed = b""
            if self._decompressor.eof:
                packed = (self._decompressor.unused_data or self._stream.read(BUFFER)).lstrip(b"\0")  # padding
                if not packed and not self._stream.peek(1):
                    break
                self._decompressor = _xz_decompressor()
            elif self._decompressor.needs_input and not (packed := self._stream.read1(BUFFER)):
                raise EOFError("it ends early")
            content = self._decompressor.decompress(packed, size)
        return content


def _xz_decompressor() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.MAX_DOCUMENT_BYTES)


_OPEN: tuple[tuple[re.Pattern[bytes], Callable[[Stream], _Content]], ...] = (
    (re.compile(rb"\x1f\x8b"), lambda stream: gzip.GzipFile(fileobj=stream)),
    (re.compile(rb"BZh[1-9]1AY&SY"), lambda stream: _Arrow(stream, "bz2")),
    (re.compile(rb"\xfd7zXZ\0"), _Xz),
    (re.compile(rb"\x28\xb5\x2f\xfd"), lambda stream: _Arrow(stream, "zstd")),
)

_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


class _Decompressed(io.RawIOBase):
    """The content of a compressed stream. Raises ShardError at damage, after returning what is before it."""

    def __init__(self, stream: Stream, open: Callable[[Stream], _Content]) -> None:
        self._stream, self._open = stream, open
        self._content, self._position = open(stream), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to the start, the only place that is asked for."""
        if (offset, whence) != (0, 0):
            raise io.UnsupportedOperation("a compressed stream can only be read from its start")
        self._stream.seek(0)
        self._content, self._position = self._open(self._stream), 0
        return 0

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            content = self._content.read1(len(view))
        except _ERRORS as error:
            raise ShardError("bad_gzip", str(error)) from error
        view[: len(content)] = content
        self._position += len(content)
        return len(content)


def decompress(stream: BinaryIO) -> Stream:
    """Return the stream itself or, if its first bytes are those of a compressed one, its decompressed content."""
    buffered = stream if isinstance(stream, io.BufferedReader) else _buffered(stream)
    start = buffered.peek(HEAD_BYTES)
    open = next((open for magic, open in _OPEN if magic.match(start)), None)
    return buffered if open is None else _buffered(_Decompressed(buffered, open))


def _buffered(raw: object) -> Stream:
    return io.BufferedReader(cast(io.RawIOBase, raw), BUFFER)


def peek(stream: BinaryIO) -> bytes:
    """Return the first HEAD_BYTES and rewind. Fewer are returned if the stream is damaged after them."""
    head = b""
    try:
        while len(head) < HEAD_BYTES and (more := cast(io.BufferedIOBase, stream).read1(HEAD_BYTES - len(head))):
            head += more
    except ShardError:
        if not head:
            raise
    stream.seek(0)
    return head


def seekable(stream: BinaryIO) -> BinaryIO:
    """Return the stream, or its content in memory if it is decompressed on the fly."""
    is_decompressed = isinstance(stream, io.BufferedReader) and isinstance(stream.raw, _Decompressed)
    return io.BytesIO(limits.bounded_content(stream)) if is_decompressed else stream
