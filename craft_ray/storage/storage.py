"""Files on disk and in S3, the same way. A Storage is made of settings and travels to workers."""

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import fsspec
import pyarrow as pa
import pyarrow.fs
from fsspec.core import has_magic
from fsspec.implementations.local import LocalFileSystem

from craft_ray.core.errors import SettingsError
from craft_ray.core.logs import log
from craft_ray.core.settings import S3Settings
from craft_ray.storage import local
from craft_ray.storage.addresses import Entry, bucket, is_remote, join
from craft_ray.storage.failures import CHANGED, as_settings_error, describe
from craft_ray.storage.local import link_exclusive, temporary_file, umask
from craft_ray.storage.retry import RetryingFile, with_retries
from craft_ray.storage.s3 import S3

_Result = TypeVar("_Result")

TEMPORARY = ".craft-ray-"
"""How the names of files begin that are not whole yet; a killed process leaves them."""

READ_AHEAD = 8 << 20
"""Bytes fetched at once from object storage; readers run through a shard from front to end."""


@dataclass(slots=True)
class Storage:
    """Reads and writes local paths and s3:// addresses.

    settings: how object storage is reached
    patience: seconds for which what a run needs of object storage is tried again and again
    """

    settings: S3Settings
    patience: float = 300
    _s3: S3 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._s3 = S3(self.settings)

    def __reduce__(self) -> tuple[type, tuple[S3Settings, float]]:
        return Storage, (self.settings, self.patience)

    def filesystem(self, url: str) -> fsspec.AbstractFileSystem:
        """The filesystem of a path or address.

        Raises SettingsError for a protocol that is neither of the two.
        """
        return self._s3.client(bucket(url)) if is_remote(url) else LocalFileSystem()

    def check_reachable(self, url: str) -> None:
        """Fail at once where no object storage listens.

        Raises OSError.
        """
        if is_remote(url):
            self._s3.check_reachable()

    def delta_options(self, url: str) -> dict[str, str]:
        """Options by which delta-rs reaches an address; empty on disk."""
        return self._s3.delta_options(bucket(url)) if is_remote(url) else {}

    def with_retries(self, url: str, action: Callable[[], _Result], also: tuple[type[Exception], ...] = ()) -> _Result:
        """The result of an action on a path or address, repeated as `retry.with_retries` does.

        Raises StorageError when patience ends, and at once what will not pass: on disk everything.
        """
        return with_retries(url, action, self.patience, also) if is_remote(url) else action()

    def best_effort(self, do: str, action: Callable[["Storage"], None]) -> None:
        """Run an action that the run does not depend on, on a storage without patience; a failure is logged."""
        impatient = Storage(self.settings, patience=0)
        impatient._s3 = self._s3  # whose clients are connected already
        try:
            action(impatient)
        except Exception as error:  # s3fs, botocore and aiohttp have no common base
            log.warning("could not %s: %s", do, describe(error))

    def open(self, url: str, size: int = 0) -> BinaryIO:
        """A seekable binary stream of a file, fetched as it is read; passing faults of storage are retried.

        size: bytes of the file, if known: a small one is fetched by one request, else it takes two, one after the other
        """
        filesystem = self.filesystem(url)
        if not is_remote(url):
            return cast(BinaryIO, filesystem.open(url, "rb"))
        if 0 < size <= READ_AHEAD:
            return io.BytesIO(self.read_bytes(url))
        file = self.with_retries(url, lambda: filesystem.open(url, "rb", block_size=READ_AHEAD, cache_type="readahead"))
        return cast(BinaryIO, io.BufferedReader(RetryingFile(self.with_retries, url, file), 1 << 16))

    def read_bytes(self, url: str) -> bytes:
        """A whole file.

        Raises FileNotFoundError if there is none.
        """
        at_once = {"max_concurrency": 1} if is_remote(url) else {}  # else its size is asked for before
        content: bytes = self.with_retries(url, lambda: self.filesystem(url).cat_file(url, **at_once))
        return content

    def write_bytes(self, url: str, content: bytes) -> None:
        """Write a whole file; on S3 one PUT, so that no reader sees half of it, and on disk by renaming."""
        filesystem = self.filesystem(url)
        if is_remote(url):
            self.with_retries(url, lambda: filesystem.pipe_file(url, content))
            return
        with temporary_file(Path(url), content) as written:
            os.replace(written, url)

    @contextmanager
    def publishing(self, url: str) -> Iterator[BinaryIO]:
        """A file to write to, which stands at its address once the block is done, whole, or not at all.

        It is written on this machine's disk: beside a local path, which is then renamed, and for S3 in the folder of
        temporary files.
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
        """Write a whole file if there is none; of any number of writers one gets true."""
        filesystem = self.filesystem(url)
        if not is_remote(url):
            with temporary_file(Path(url), content) as written:
                return link_exclusive(written, url)
        try:
            self.with_retries(url, lambda: filesystem.pipe_file(url, content, mode="create"))
        except OSError as error:
            # AWS names the condition that failed, and s3fs then raises another error than where a server does not.
            if describe(error) != CHANGED and not isinstance(error, FileExistsError):
                raise
            # A writer whose acknowledgement was lost is refused by its own first try.
            return self.read_bytes(url) == content
        return True

    def entries(self, folder: str, stem: str = "", complete: bool = False) -> Iterator[Entry]:
        """The files and folders right in a folder, as storage lists them, in any order.

        stem:     how names begin that are wanted; on disk others come as well
        complete: whether a folder on disk that cannot be read raises OSError; else it is left out

        Raises StorageError if object storage fails until patience ends.
        """
        if is_remote(folder):
            return self._s3.listed(f"{folder}/{stem}", "/", lambda request: self.with_retries(folder, request))
        return local.entries(folder, complete)

    def files_below(self, folder: str, complete: bool = False) -> Iterator[Entry]:
        """The files in a folder and in those below it, as `entries` has them."""
        if is_remote(folder):
            return self._s3.listed(f"{folder}/", "", lambda request: self.with_retries(folder, request))
        return local.files_below(folder, complete)

    def names(self, folder: str) -> list[str]:
        """Paths of the files and folders right in a folder; empty if there is none."""
        try:
            return [entry.name for entry in self.entries(folder, complete=True)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def size(self, url: str) -> int | None:
        """Bytes of a file, None if there is none."""
        try:
            return int(self.with_retries(url, lambda: self.filesystem(url).size(url)))
        except FileNotFoundError:
            return None

    def fetch(self, url: str) -> Path:
        """Copy a remote folder's files to a temporary local folder.

        Raises SettingsError if there is none or it cannot be reached.
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
        """Copy the files of a local folder into another, local or remote; config.json last, which makes it a model."""
        files = sorted(folder.rglob("*"), key=lambda file: (file.name == "config.json", file))
        for file in files:
            if file.is_file():
                self.write_bytes(join(url, file.relative_to(folder).as_posix()), file.read_bytes())

    def modified(self, url: str) -> float:
        """When a file was written, in seconds since 1970 by the clock of the store that holds it.

        Raises FileNotFoundError if there is none.
        """
        at: datetime = self.with_retries(url, lambda: self.filesystem(url).modified(url))
        return at.timestamp()

    def remove_files(self, urls: Sequence[str]) -> None:
        """Remove files of one folder or below it, on S3 a thousand per request; those that are gone are passed over."""
        if not urls:
            return
        if not is_remote(urls[0]):
            for url in urls:
                Path(url).unlink(missing_ok=True)
            return
        filesystem = self.filesystem(urls[0])
        if any(has_magic(url) for url in urls):  # fsspec would take such a name for a pattern
            for url in urls:
                self.with_retries(url, lambda: filesystem.rm_file(url))  # noqa: B023
            return
        self.with_retries(urls[0], lambda: filesystem.rm(list(urls)))

    def remove(self, url: str) -> None:
        """Remove a folder with all below it, if it is there."""
        filesystem = self.filesystem(url)
        if filesystem.exists(url):
            filesystem.rm(url, recursive=True)

    def arrow_filesystem(self, url: str) -> tuple[pyarrow.fs.FileSystem | None, str]:
        """An Arrow filesystem for a remote address, None for a local path, and the path within it.

        What is read by it is read as by `open`.
        """
        if not is_remote(url):
            return None, url
        return pyarrow.fs.PyFileSystem(_Opening(self, self.filesystem(url))), url.partition("://")[2]

    def check_writable(self, folder: str) -> None:
        """Write and remove a small file in a folder.

        Raises SettingsError if that fails.
        """
        with as_settings_error(f"the output {folder}"):
            self.check_reachable(folder)
            probe = join(folder, f".craft-ray-{os.getpid()}")
            self.write_bytes(probe, b"")
            self.filesystem(folder).rm_file(probe)


class _Opening(pyarrow.fs.FSSpecHandler):  # type: ignore[misc]  # pyarrow has no types for it
    """A filesystem for Arrow whose files a storage opens, since that of pyarrow tries nothing again."""

    def __init__(self, storage: Storage, filesystem: fsspec.AbstractFileSystem) -> None:
        super().__init__(filesystem)
        self._storage = storage

    def open_input_file(self, path: str) -> pa.PythonFile:
        """A seekable file."""
        return pa.PythonFile(self._storage.open(f"s3://{path}"), mode="r")
