"""Files on disk: atomic writes, listings, and similar names for error messages."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from craft_ray.core.logs import log
from craft_ray.core.validation import nearest
from craft_ray.storage.addresses import Entry


@contextmanager
def temporary_file(path: Path, content: bytes) -> Iterator[str]:
    """Write content to a temporary file in the folder of a path, and yield its name. Makes the folder if needed.

    It is flushed to disk, so that a power cut leaves it or what it replaces, and not half of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.chmod(name, 0o666 & ~umask())
        yield name
    finally:
        Path(name).unlink(missing_ok=True)  # a full disk must not fill further


def sync(paths: Iterable[str]) -> None:
    """Flush files to disk, and then the folders that name them."""
    paths = list(paths)
    for path in (*paths, *sorted({os.path.dirname(path) for path in paths})):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def link_exclusive(written: str, url: str) -> bool:
    """Link a written file to a name that does not exist yet; False if it does."""
    try:
        os.link(written, url)
    except FileExistsError:
        return False
    except OSError:  # a filesystem without hard links; the name is visible shortly before the content
        try:
            with open(url, "xb") as file:
                file.write(Path(written).read_bytes())
        except FileExistsError:
            return False
    return True


@lru_cache(maxsize=1)
def umask() -> int:
    """Return the file mode mask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def similar_name(path: str, is_candidate: Callable[[Path], bool] = lambda sibling: True) -> str:
    """Return `; did you mean ...?` if a sibling of a missing path has a similar name, else nothing."""
    try:
        siblings = [sibling.name for sibling in Path(path).parent.iterdir() if is_candidate(sibling)]
    except OSError:
        return ""
    return nearest(Path(path).name, siblings)


def entries(folder: str) -> Iterator[Entry]:
    """List the files and folders directly in a folder. The tag of a file is its modification time.

    Links are followed, and a broken one counts as an empty file. Files that vanish meanwhile are left out.

    Raises OSError if the folder cannot be read.
    """
    with os.scandir(folder) as found:
        for one in found:
            with suppress(FileNotFoundError):
                yield _entry(one.path, _status(one))


def entry(path: str) -> Entry | None:
    """The file or folder of a path, None if there is none. Links are followed."""
    try:
        return _entry(path, os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _entry(path: str, status: os.stat_result) -> Entry:
    if stat.S_ISDIR(status.st_mode):
        return Entry(path, is_folder=True)
    is_regular = stat.S_ISREG(status.st_mode)
    size, tag = status.st_size if is_regular else 0, str(status.st_mtime or "")
    return Entry(path, size, tag, is_file=is_regular or stat.S_ISLNK(status.st_mode))  # a link here is a broken one


def files_below(folder: str, skip: str | None = None) -> Iterator[Entry]:
    """List the files in a folder and all folders below it; like `entries`.

    skip: a folder that is left out, by whatever links it is reached. A link that leads back is not followed, with a
          warning
    """
    skipped = _identity(skip) if skip is not None else None
    folders: list[tuple[str, tuple[_Identity, ...]]] = [(folder, ())]
    while folders:
        path, above = folders.pop()
        identity = _identity(path)
        if identity in above:
            log.warning("%s is a link that leads back to a folder above it: it is not followed", path)
        if identity in above or (identity is not None and identity == skipped):
            continue
        for entry in entries(path):
            if entry.is_folder:
                folders.append((entry.name, (*above, identity)))
            else:
                yield entry


_Identity = tuple[int, int] | None
"""Device and inode of a folder, None if there is none."""


def _identity(folder: str) -> _Identity:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _status(one: os.DirEntry[str]) -> os.stat_result:
    """The status of a file or of a link's target; of the link itself if it is broken."""
    try:
        return one.stat()
    except OSError:
        return one.stat(follow_symlinks=False)
