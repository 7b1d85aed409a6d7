"""Gzip, unpacked as it is read."""

import gzip
import io
import zlib
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from craft_ray.errors import ShardError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER = 1 << 16
Stream: TypeAlias = "io.BufferedReader[io.RawIOBase]"


def unpacked(stream: BinaryIO) -> Stream:
    """The stream itself, or what is in it if it is gzip; by magic number, for names lie."""
    buffered = stream if isinstance(stream, io.BufferedReader) else _buffered(stream)
    return _buffered(Gunzip(fileobj=buffered)) if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered


def _buffered(raw: object) -> Stream:
    return io.BufferedReader(cast(io.RawIOBase, raw), BUFFER)


class Gunzip(gzip.GzipFile):
    """What a gzip stream holds. A damaged one gives all that stands before the damage, then raises ShardError."""

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Unpack the next bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        try:
            content = self.read1(len(view))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ShardError("bad_gzip", str(error)) from error
        view[: len(content)] = content
        return len(content)
