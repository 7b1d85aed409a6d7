"""Tar archives, member by member in a stream. Nothing is written anywhere, so paths and links can do no harm."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from craft_ray.core.errors import ShardError
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
    stream: Stream, wanted: Callable[[str], bool], read: Callable[[str], bool]
) -> Iterator[tuple[str, BinaryIO | ShardError | None]]:
    """Yield the name and the content of each file, or why it has none.

    wanted: tells plain files that are input by their names; of the others nothing is yielded
    read:   tells those whose content is asked for; the others have None

    Raises ShardError (`bad_archive`) where the archive is damaged, ends without its mark or goes on after it: after the
    same files, whichever of them are read.
    """
    meter = limits.BoundedReader(stream)  # for headers, which have sizes of their own
    try:
        with tarfile.open(fileobj=cast(IO[bytes], meter), mode="r|", tarinfo=_Member, bufsize=BUFFER) as archive:
            while (member := archive.next()) is not None:
                cast(Any, archive).members.clear()  # or it keeps all that it has seen
                meter.reset()
                name, pieces = member.name, _pieces(archive, member, meter)
                if member.isdir() or (_is_plain(member) and not wanted(name)):
                    _pass_over(pieces)
                elif (problem := _problem(member)) is not None:
                    yield name, problem if read(name) else None
                    _pass_over(pieces)
                elif read(name):
                    yield name, io.BytesIO(b"".join(pieces))
                else:
                    _pass_over(pieces)
                    yield name, None
                meter.reset()
            while rest := cast(Any, archive).fileobj.read(BUFFER):
                meter.reset()
                if any(rest):
                    raise ShardError("bad_archive", "content after the end of the archive")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ShardError("bad_archive", str(error)) from error


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.isfile() and not member.issparse()


def _problem(member: tarfile.TarInfo) -> ShardError | None:
    """Why the content of a member is not read, if it is not."""
    if not _is_plain(member):
        return ShardError("bad_archive", "a link, device or sparse file, not a plain one")
    return limits.too_large() if member.size > limits.MAX_DOCUMENT_BYTES else None


def _pieces(archive: tarfile.TarFile, member: tarfile.TarInfo, meter: limits.BoundedReader) -> Iterator[bytes]:
    """Yield the content of a plain file; of what is none, nothing."""
    if _is_plain(member):
        content = cast(IO[bytes], archive.extractfile(member))
        while piece := content.read(BUFFER):
            meter.reset()
            yield piece


def _pass_over(pieces: Iterator[bytes]) -> None:
    """Go on to where a file ends, so that damage within it is found."""
    for _ in pieces:
        pass


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
