"""Tar and zip archives. Nothing is written to disk, so paths and links can do no harm.

Several tasks share a large archive: each decompresses all of it and parses its own files.
"""

import hashlib
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from craft_ray.core.errors import ShardError
from craft_ray.core.hashing import hash64
from craft_ray.readers import limits
from craft_ray.readers.compression import BUFFER, Stream, seekable

SUFFIXES = ("tar", "tgz", "tbz", "tbz2", "txz", "tzst", "zip")

MAX_ZIP_DIRECTORY = 32 << 20
"""Bytes of the list of files at the end of a zip archive, which takes ten times as much in memory."""

ITEM_KEY = "#item-"
"""Separates a file's name from an item's number in the keys of items."""

MAX_FILE_NAME = 500
"""Characters of a file's name within an archive that ids and keys may contain."""

_ZIP = re.compile(rb"PK\x03\x04.{26}(?!\[Content_Types\]|_rels/|docProps/|word/|mimetype|META-INF/)", re.DOTALL)
"""A zip archive that is no Office document or book by its first file."""

ArchiveFiles = Iterator[tuple[str, BinaryIO | ShardError | None]]


def archive_kind(head: bytes) -> str | None:
    """`tar` or `zip`, or None for other content."""
    if head[257:262] == b"ustar":
        return "tar"
    return "zip" if _ZIP.match(head) else None


def archive_files(stream: Stream, is_input: Callable[[str], bool], is_wanted: Callable[[str], bool]) -> ArchiveFiles:
    """Yield the name of each input file of an archive with its content, or with the reason why it has none.

    Links, devices, sparse, encrypted and too large files give a ShardError in place of the content.

    is_input:  files whose names are not are skipped, as are hidden ones
    is_wanted: files whose names are not have None as content

    Raises ShardError (`bad_archive`) if the archive is damaged, lacks its end marker or continues after it, at the
    same file whichever files are wanted.
    """
    read = _zip_files if archive_kind(stream.peek(BUFFER)) == "zip" else _tar_files
    return read(stream, lambda name: is_input(name) and not _is_hidden(name), is_wanted)


def _is_hidden(name: str) -> bool:
    """Whether a file lies below a name that begins with a dot or an underscore, as what macOS adds to archives."""
    return any(part.startswith((".", "_")) for part in name.split("/") if part not in (".", ".."))


def _zip_files(stream: Stream, is_input: Callable[[str], bool], is_wanted: Callable[[str], bool]) -> ArchiveFiles:
    whole = seekable(stream)
    if _zip_directory_bytes(whole) > MAX_ZIP_DIRECTORY:
        raise ShardError("too_large", f"a zip archive whose list of files has more than {MAX_ZIP_DIRECTORY >> 20} MB")
    try:
        with zipfile.ZipFile(whole) as archive:
            for member in archive.infolist():
                if not member.is_dir() and is_input(member.filename):
                    wanted = is_wanted(member.filename)
                    yield member.filename, _zip_content(archive, member) if wanted else None
    except _ZIP_ERRORS as error:
        raise ShardError("bad_archive", str(error)) from error


def _zip_directory_bytes(stream: BinaryIO) -> int:
    """Size of the list of files, by the end record of a zip archive or its variant for large archives."""
    stream.seek(max(0, stream.seek(0, io.SEEK_END) - (1 << 17)))
    tail = stream.read()
    stream.seek(0)
    ends = ((tail.rfind(b"PK\x05\x06"), 12, 4), (tail.rfind(b"PK\x06\x06"), 40, 8))
    sizes = [int.from_bytes(tail[at + start :][:length], "little") for at, start, length in ends if at >= 0]
    return max((size for size in sizes if size != 0xFFFFFFFF), default=0)


_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError),
)
"""RuntimeError is raised for encrypted files."""


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO | ShardError:
    try:
        with archive.open(member) as content:
            return io.BytesIO(limits.bounded_content(cast(BinaryIO, content)))
    except ShardError as error:
        return error
    except _ZIP_ERRORS as error:
        return ShardError("bad_archive", str(error))
    except OSError as error:
        # How bz2 says that its data are damaged; any other is the store's, and passes.
        if member.compress_type == zipfile.ZIP_BZIP2 and str(error) == "Invalid data stream":
            return ShardError("bad_archive", "damaged bzip2")
        raise


def _tar_files(stream: Stream, is_input: Callable[[str], bool], is_wanted: Callable[[str], bool]) -> ArchiveFiles:
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


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One of `count` parts of an archive, the files whose names hash to `number`.

    The name alone decides, so ids that are derived from file names come from the same part in every run.
    """

    number: int = 0
    count: int = 1

    def has_file(self, name: str) -> bool:
        return self._has(_printable(name))

    def owns_id(self, doc_id: str, shard: str) -> bool:
        """Whether an id derived from a file name, as of a record without an id, can come from this part.

        Ids that name no file of the archive, such as the marker of a broken archive, belong to part 0.
        """
        prefix = f"{shard}!"
        return self._has(doc_id.removeprefix(prefix)) if doc_id.startswith(prefix) else self.number == 0

    def _has(self, name: str) -> bool:
        # Only what a file's name has in common with all ids derived from it: they go on after `#`, and may be cut.
        stem = name.partition("#")[0][:MAX_FILE_NAME]
        return self.count == 1 or hash64(stem.encode()) % self.count == self.number


def file_key(shard: str, name: str) -> str:
    """Name of a file in an archive, safe to store in a table: valid UTF-8 and of bounded length."""
    name = _printable(name)
    if len(name) > MAX_FILE_NAME:
        name = f"{name[:MAX_FILE_NAME]}...{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
    return f"{shard}!{name}"


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
