"""One interface for local files and S3 objects."""

import io
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from craft_ray.core.errors import SettingsError, StorageError
from craft_ray.core.logs import log
from craft_ray.core.settings import S3Settings, Settings
from craft_ray.storage import local
from craft_ray.storage.addresses import Entry, bucket, is_remote, join
from craft_ray.storage.failures import CHANGED, NO_BUCKET, as_settings_error, describe
from craft_ray.storage.local import link_exclusive, temporary_file, umask
from craft_ray.storage.retry import with_retries
from craft_ray.storage.s3 import S3
from craft_ray.storage.streams import guarded

if TYPE_CHECKING:
    # Both take longer to import than all that a local file needs.
    from fsspec import AbstractFileSystem
    from pyarrow.fs import FileSystem

_Result = TypeVar("_Result")

TEMPORARY = ".craft-ray-"
"""Prefix of files that are not whole yet; a killed process leaves them behind."""

READ_AHEAD = 8 << 20
"""Bytes per request to object storage while a file is read from front to end."""


@dataclass(slots=True)
class Storage:
    """Reads and writes local paths and s3:// addresses. Pickles as its settings, without connections.

    patience: seconds for which transient errors of object storage are retried
    """

    settings: S3Settings
    patience: float = 300
    _s3: S3 = field(init=False, repr=False, compare=False)

    @classmethod
    def of(cls, settings: Settings) -> "Storage":
        return cls(settings.s3, settings.patience)

    def __post_init__(self) -> None:
        self._s3 = S3(self.settings)

    def __reduce__(self) -> tuple[type, tuple[S3Settings, float]]:
        return Storage, (self.settings, self.patience)

    def filesystem(self, url: str) -> "AbstractFileSystem":
        """Return the fsspec filesystem of a path or address.

        Raises SettingsError for a protocol other than s3://.
        """
        if is_remote(url):
            return self._s3.client(bucket(url))
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem()

    def check_reachable(self, url: str) -> None:
        """Raise StorageError if nothing listens at the S3 endpoint until patience ends."""
        self.with_retries(url, self._s3.check_reachable if is_remote(url) else lambda: None)

    def delta_options(self, url: str) -> dict[str, str]:
        """Return delta-rs options for an address, with credentials that are valid now; empty for a local path."""
        return self._s3.delta_options(bucket(url)) if is_remote(url) else {}

    def with_retries(self, url: str, action: Callable[[], _Result]) -> _Result:
        """Run an action on a path or address; on S3, transient errors are retried until patience ends.

        Raises StorageError if it still fails then. Permanent errors and those of local files are raised as they are.
        """
        return with_retries(url, action, self.patience, self._s3.endpoint) if is_remote(url) else action()

    def _once(self) -> "Storage":
        """The same storage without retries."""
        once = Storage(self.settings, patience=0)
        once._s3 = self._s3  # keeps its open connections
        return once

    def answers(self, url: str) -> bool:
        """True if the store tells the size of a file at once, so that only reading it fails."""
        try:
            return self._once().size(url) is not None
        except (OSError, StorageError):
            return False

    def best_effort(self, purpose: str, action: Callable[["Storage"], None]) -> None:
        """Run an action that the run can do without: no retries, and a failure is only logged."""
        try:
            action(self._once())
        except Exception as error:  # s3fs, botocore and aiohttp share no base class
            log.warning("could not %s: %s", purpose, describe(error))

    def open(self, url: str, size: int = 0) -> BinaryIO:
        """Open a file as a seekable binary stream. A remote one is fetched as it is read, with retries.

        size: bytes of the file, if known; a small one then takes one request instead of two
        """
        filesystem = self.filesystem(url)
        if not is_remote(url):
            return cast(BinaryIO, filesystem.open(url, "rb"))
        if 0 < size <= READ_AHEAD:
            return io.BytesIO(self.read_bytes(url))
        file = self.with_retries(url, lambda: filesystem.open(url, "rb", block_size=READ_AHEAD, cache_type="readahead"))
        return guarded(file, lambda read: self.with_retries(url, read), 1 << 16)

    def read_bytes(self, url: str) -> bytes:
        """Read a whole file.

        Raises FileNotFoundError.
        """
        how = {"max_concurrency": 1} if is_remote(url) else {}  # more would need a request for the size first
        content: bytes = self.with_retries(url, lambda: self.filesystem(url).cat_file(url, **how))
        return content

    def write_bytes(self, url: str, content: bytes) -> None:
        """Write a whole file atomically: one PUT on S3, a rename on disk."""
        filesystem = self.filesystem(url)
        if is_remote(url):
            self.with_retries(url, lambda: filesystem.pipe_file(url, content))
            return
        with temporary_file(Path(url), content) as written:
            os.replace(written, url)

    def sync(self, urls: Sequence[str]) -> None:
        """Make local files and their names outlast a power cut; objects in S3 do already."""
        local.sync([url for url in urls if not is_remote(url)])

    @contextmanager
    def publishing(self, url: str) -> Iterator[BinaryIO]:
        """Open a file for writing that appears at its address when the block ends, and not at all if it raises.

        It is written to local disk first: next to a local path, and to the folder of temporary files for S3.
        """
        folder, name = url.rpartition("/")[::2]
        if not is_remote(url):
            Path(folder).mkdir(parents=True, exist_ok=True)
        descriptor, written = tempfile.mkstemp(dir=None if is_remote(url) else folder, prefix=f"{TEMPORARY}{name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            if is_remote(url):
                self.with_retries(url, lambda: self.filesystem(url).put_file(written, url))
            else:
                os.chmod(written, 0o666 & ~umask())
                os.replace(written, url)
        finally:
            Path(written).unlink(missing_ok=True)

    def create(self, url: str, content: bytes) -> bool:
        """Write a file unless it exists, and return whether this call wrote it; of concurrent writers one does."""
        filesystem = self.filesystem(url)
        if not is_remote(url):
            with temporary_file(Path(url), content) as written:
                return link_exclusive(written, url)
        try:
            self.with_retries(url, lambda: filesystem.pipe_file(url, content, mode="create"))
        except OSError as error:
            if describe(error) != CHANGED:
                raise
            # A writer whose acknowledgement was lost is refused because of its own first attempt.
            return self.read_bytes(url) == content
        return True

    def entry(self, url: str) -> Entry | None:
        """Return the file or folder at an address, None if there is none."""
        if not is_remote(url):
            return local.entry(url)
        try:
            info = self.with_retries(url, lambda: self.filesystem(url).info(url))
        except FileNotFoundError:
            return None
        return Entry(url, int(info["size"]), str(info.get("ETag", "")).strip('"'), info["type"] == "directory")

    def entries(self, folder: str, stem: str = "") -> Iterator[Entry]:
        """List the files and folders directly in a folder, in any order.

        stem: prefix of the names wanted; on disk others come as well

        Raises StorageError if object storage fails until patience ends, OSError if a local folder cannot be read.
        """
        if is_remote(folder):
            return self._s3.list_objects(f"{folder}/{stem}", "/", lambda request: self.with_retries(folder, request))
        return local.entries(folder)

    def files_below(self, folder: str, skip: str | None = None) -> Iterator[Entry]:
        """List the files in a folder and all folders below it; like `entries`. skip: a folder to leave out"""
        if is_remote(folder):
            found = self._s3.list_objects(f"{folder}/", "", lambda request: self.with_retries(folder, request))
            return (entry for entry in found if skip is None or not entry.name.startswith(f"{skip}/"))
        return local.files_below(folder, skip)

    def names(self, folder: str) -> list[str]:
        """List the paths of files and folders directly in a folder; empty if there is none.

        Raises SettingsError if the bucket does not exist.
        """
        try:
            return [entry.name for entry in self.entries(folder)]
        except (FileNotFoundError, NotADirectoryError) as error:
            if describe(error) == NO_BUCKET:
                raise SettingsError(f"cannot reach {folder}: {NO_BUCKET}") from error
            return []

    def size(self, url: str) -> int | None:
        """Return the bytes of a file, None if there is none."""
        try:
            return int(self.with_retries(url, lambda: self.filesystem(url).size(url)))
        except FileNotFoundError:
            return None

    def fetch(self, url: str) -> Path:
        """Copy the files of a remote model folder to a temporary local folder.

        Raises SettingsError if there are none, or they cannot be reached.
        """
        filesystem = self.filesystem(url)
        target = Path(tempfile.mkdtemp(prefix="craft-ray-model-"))
        with as_settings_error(f"the model {url}"):
            self.check_reachable(url)
            files = [path for path in filesystem.ls(url, detail=False) if filesystem.isfile(path)]
            if not files:
                raise SettingsError(f"there is no model folder {url}")
            for path in files:
                filesystem.get_file(path, str(target / path.rpartition("/")[2]))
        return target

    def publish(self, folder: Path, url: str) -> None:
        """Copy the files of a local model folder; config.json comes last, since it makes a folder a model."""
        files = sorted(folder.rglob("*"), key=lambda file: (file.name == "config.json", file))
        for file in files:
            if file.is_file():
                self.write_bytes(join(url, file.relative_to(folder).as_posix()), file.read_bytes())

    def modified(self, url: str) -> float:
        """Return when a file was written: seconds since 1970 by the clock of its store.

        Raises FileNotFoundError.
        """
        at: datetime = self.with_retries(url, lambda: self.filesystem(url).modified(url))
        return at.timestamp()

    def remove_files(self, urls: Sequence[str]) -> None:
        """Delete files below one folder, in batches of 1,000 on S3. Missing files are ignored."""
        if not urls:
            return
        if not is_remote(urls[0]):
            for url in urls:
                Path(url).unlink(missing_ok=True)
            return
        from fsspec.core import has_magic

        filesystem = self.filesystem(urls[0])
        if any(has_magic(url) for url in urls):  # which fsspec would expand as a pattern
            for url in urls:
                self.with_retries(url, lambda: filesystem.rm_file(url))  # noqa: B023
            return
        self.with_retries(urls[0], lambda: filesystem.rm(list(urls)))

    def remove(self, url: str) -> None:
        """Delete a folder with all its content, if it exists."""
        filesystem = self.filesystem(url)
        if filesystem.exists(url):
            filesystem.rm(url, recursive=True)

    def arrow_filesystem(self, url: str) -> tuple["FileSystem | None", str]:
        """Return an Arrow filesystem that reads with retries, None for a local path, and the path within it."""
        if not is_remote(url):
            return None, url
        import pyarrow as pa
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        storage = self

        class Retrying(FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types
            def open_input_file(self, path: str) -> pa.PythonFile:
                return pa.PythonFile(storage.open(f"s3://{path}"), mode="r")

        return PyFileSystem(Retrying(self.filesystem(url))), url.partition("://")[2]

    def check_writable(self, folder: str) -> None:
        """Raise SettingsError if a small file cannot be written to a folder and deleted."""
        with as_settings_error(f"the output {folder}"):
            self.check_reachable(folder)
            probe = join(folder, f".craft-ray-{secrets.token_hex(8)}")
            self.write_bytes(probe, b"")
            self.filesystem(folder).rm_file(probe)
