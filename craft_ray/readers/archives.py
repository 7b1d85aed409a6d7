"""Gzip streams and tar archives, read front to back. Nothing is written to disk, so paths and links can do no harm."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from craft_ray.core.errors import ShardError
from craft_ray.readers import limits
from craft_ray.readers.reader import HEAD_BYTES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIXES = ("tar", "tgz")

BUFFER = 1 << 16

Stream: TypeAlias = "io.BufferedReader[io.RawIOBase]"


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def archive_files(
    stream: Stream, is_input: Callable[[str], bool], is_wanted: Callable[[str], bool]
) -> Iterator[tuple[str, BinaryIO | ShardError | None]]:
    """Yield the name of each input file of a tar archive with its content, or with the reason why it has none.

    Links, devices, sparse and too large files give a ShardError in place of the content.

    is_input:  files whose names are not are skipped
    is_wanted: files whose names are not have None as content

    Raises ShardError (`bad_archive`) if the archive is damaged, lacks its end marker or continues after it, at the
    same file whichever files are wanted.
    """
    bounded = limits.BoundedReader(stream)  # a header can claim any size
    try:
        with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r|", tarinfo=_Member, bufsize=BUFFER) as archive:
            while (member := archive.next()) is not None:
                cast(Any, archive).members.clear()  # tarfile keeps every member
                bounded.reset()
                is_plain = member.isfile() and not member.issparse()
                chunks = _chunks(archive, member, bounded) if is_plain else iter(())
                is_listed = is_input(member.name) if is_plain else not member.isdir()
                wanted = is_listed and is_wanted(member.name)
                if not is_plain or member.size > limits.MAX_DOCUMENT_BYTES:
                    if is_listed:
                        yield member.name, _refusal(is_plain) if wanted else None
                    _skip(chunks)
                elif wanted:
                    yield member.name, io.BytesIO(b"".join(chunks))
                else:
                    _skip(chunks)
                    if is_listed:
                        yield member.name, None
                bounded.reset()
            while rest := cast(Any, archive).fileobj.read(BUFFER):
                bounded.reset()
                if any(rest):
                    raise ShardError("bad_archive", "content after the end of the archive")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise ShardError("bad_archive", str(error)) from error


def _refusal(is_plain: bool) -> ShardError:
    if is_plain:
        return limits.too_large()
    return ShardError("bad_archive", "a link, device or sparse file, not a plain one")


def _chunks(archive: tarfile.TarFile, member: tarfile.TarInfo, bounded: limits.BoundedReader) -> Iterator[bytes]:
    content = cast(IO[bytes], archive.extractfile(member))
    while chunk := content.read(BUFFER):
        bounded.reset()
        yield chunk


def _skip(chunks: Iterator[bytes]) -> None:
    """Read to the end of a file, so that damage in it is found whether or not the file is wanted."""
    for _ in chunks:
        pass


class _Member(tarfile.TarInfo):
    """A member whose damaged header is an error; tarfile takes one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):
                raise  # the end marker
            raise tarfile.ReadError(f"{error}, where a member or the end of the archive should be") from error
        if member.size < 0:
            raise tarfile.ReadError("a member of negative size")
        return member


def decompress(stream: BinaryIO) -> Stream:
    """Return the stream itself or, if its first bytes are gzip's, its decompressed content."""
    buffered = stream if isinstance(stream, io.BufferedReader) else _buffered(stream)
    return _buffered(_Gunzip(fileobj=buffered)) if buffered.peek(2)[:2] == b"\x1f\x8b" else buffered


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


def is_decompressed(stream: BinaryIO) -> bool:
    """Whether a stream of `decompress` is decompressed on the fly, so that seeking in it is slow."""
    return isinstance(stream, io.BufferedReader) and isinstance(stream.raw, _Gunzip)


class _Gunzip(gzip.GzipFile):
    """Decompresses a stream. Raises ShardError at damage, after returning everything before it."""

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            content = self.read1(len(view))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ShardError("bad_gzip", str(error)) from error
        view[: len(content)] = content
        return len(content)
