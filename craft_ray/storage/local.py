"""Files on disk: atomic writes, listings, and similar names for error messages."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from craft_ray.core.validation import nearest
from craft_ray.storage.addresses import Entry


@contextmanager
def temporary_file(path: Path, content: bytes) -> Iterator[str]:
    """Write content to a temporary file in the folder of a path, and yield its name. Makes the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
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


def entries(folder: str, complete: bool) -> Iterator[Entry]:
    """List the files and folders directly in a folder. The tag of a file is its modification time.

    complete: raise OSError for a folder that cannot be read, instead of leaving out the rest of it

    A symbolic link counts as a file, even to a folder: with the size of its target and its own time. Files that vanish
    meanwhile are left out.
    """
    with suppress(*() if complete else (OSError,)), os.scandir(folder) as found:
        for one in found:
            if one.is_dir(follow_symlinks=False):
                yield Entry(one.path, is_folder=True)
                continue
            with suppress(FileNotFoundError):
                status = one.stat(follow_symlinks=False)
                size = _target_size(one) if one.is_symlink() else status.st_size
                yield Entry(one.path, size, str(status.st_mtime or ""))


def files_below(folder: str, complete: bool) -> Iterator[Entry]:
    """List the files in a folder and all folders below it; like `entries`."""
    folders = [folder]
    while folders:
        for entry in entries(folders.pop(), complete):
            if entry.is_folder:
                folders.append(entry.name)
            else:
                yield entry


def _target_size(link: os.DirEntry[str]) -> int:
    """Bytes of a link's target, 0 for a broken link."""
    try:
        return link.stat().st_size
    except OSError:
        return 0
