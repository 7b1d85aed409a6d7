"""Tar archives, member by member in a stream. Nothing is written anywhere, so paths and links can do no harm."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Rejection
from craft_ray.readers import limits
from craft_ray.readers.reader import HEAD

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BUFFER = 1 << 16
SUFFIXES = ("tar", "tgz")
"""Names of archives taken from a folder, alone or with `.gz` behind."""
Stream: TypeAlias = "io.BufferedReader[io.RawIOBase]"


def is_tar(head: bytes) -> bool:
    """True if a stream that begins so is a tar archive."""
    return head[257:262] == b"ustar"


def members(
    stream: Stream, archive_name: str, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, BinaryIO | Rejection]]:
    """Yield the name `archive!member` and the content of each file that is wanted by its name, or why it has none.

    Raises ShardError (`bad_archive`) where the archive is damaged, ends without its mark or goes on after it.
    """
    meter = limits.BoundedReader(stream)  # for headers, which have sizes of their own
    try:
        with tarfile.open(fileobj=cast(IO[bytes], meter), mode="r|", tarinfo=_Member) as archive:
            while (member := archive.next()) is not None:
                meter.reset()
                name = f"{archive_name}!{member.name}"
                if member.isfile() and not member.issparse():
                    content = cast(IO[bytes], archive.extractfile(member))
                    if wanted(member.name) and member.size > limits.LARGEST:
                        yield name, Rejection(name, "too_large", limits.too_large().detail)
                    elif wanted(member.name):
                        yield name, io.BytesIO(content.read())
                    while content.read(BUFFER):
                        meter.reset()
                elif not member.isdir():
                    yield name, Rejection(name, "bad_archive", "a link, device or sparse file, not a plain one")
                meter.reset()
                cast(Any, archive).members.clear()  # or it keeps all that it has seen
            while rest := cast(Any, archive).fileobj.read(BUFFER):
                meter.reset()
                if any(rest):
                    raise ShardError("bad_archive", "content after the end of the archive")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ShardError("bad_archive", str(error)) from error


class _Member(tarfile.TarInfo):
    """A member whose header, where it cannot be read, is not taken for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        """A member from its header. Raises tarfile.ReadError if it is none, unless it is the mark of the end."""
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):
                raise
            raise tarfile.ReadError(f"{error}, where a member or the end of the archive should be") from error
        if member.size < 0:
            raise tarfile.ReadError("a member of negative size")
        return member


def unpacked(stream: BinaryIO) -> Stream:
    """The stream itself, or what is in it if it is gzip; by magic number, for names lie."""
    buffered = stream if isinstance(stream, io.BufferedReader) else _buffered(stream)
    return _buffered(Gunzip(fileobj=buffered)) if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered


def _buffered(raw: object) -> Stream:
    return io.BufferedReader(cast(io.RawIOBase, raw), BUFFER)


def first_bytes(stream: BinaryIO) -> bytes:
    """The first HEAD bytes, the position kept; fewer if the stream is damaged after them, as its reader will find."""
    head = b""
    try:
        while len(head) < HEAD and (more := cast(io.BufferedIOBase, stream).read1(HEAD - len(head))):
            head += more
    except ShardError:
        if not head:
            raise
    stream.seek(0)
    return head


def is_packed(stream: BinaryIO) -> bool:
    """True if a stream of `unpacked` is unpacked on the way, so that it cannot be read from its end."""
    return isinstance(stream, io.BufferedReader) and isinstance(stream.raw, Gunzip)


class Gunzip(gzip.GzipFile):
    """The content of a gzip stream. A damaged one gives everything before the damage, then raises ShardError."""

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Unpack the next bytes; 0 at the end."""
        view = memoryview(buffer).cast("B")
        try:
            content = self.read1(len(view))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ShardError("bad_gzip", str(error)) from error
        view[: len(content)] = content
        return len(content)
