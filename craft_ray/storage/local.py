"""Files on disk that are there whole or not at all, and what is named like one that is not there."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from craft_ray.core.validation import nearest
from craft_ray.storage.addresses import Entry


@contextmanager
def temporary_file(path: Path, content: bytes) -> Iterator[str]:
    """A temporary file with some content in a path's folder, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(name, 0o666 & ~umask())
        yield name
    finally:
        Path(name).unlink(missing_ok=True)  # a full disk must not fill further


def link_exclusive(written: str, url: str) -> bool:
    """Give a file a second name that none has yet; false if one has."""
    try:
        os.link(written, url)
    except FileExistsError:
        return False
    except OSError:  # a filesystem without hard links; here the content is there a moment after the name
        try:
            with open(url, "xb") as file:
                file.write(Path(written).read_bytes())
        except FileExistsError:
            return False
    return True


@lru_cache(maxsize=1)
def umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def similar_name(path: str, wanted: Callable[[Path], bool] = lambda found: True) -> str:
    """`; did you mean ...?` if what stands in a path's folder has a name like its last part, else nothing.

    wanted: tells whether what is found can be meant
    """
    try:
        beside = [found.name for found in Path(path).parent.iterdir() if wanted(found)]
    except OSError:
        return ""
    return nearest(Path(path).name, beside)


def entries(folder: str, complete: bool) -> Iterator[Entry]:
    """The files and folders right in a folder, as it is read; the tag of a file is the time of its change.

    complete: whether a folder that cannot be read raises OSError; else the rest of it is left out

    A link is a file, also one to a folder: it has the size of what it names, and its own time. What vanishes meanwhile
    is left out.
    """
    with suppress(*() if complete else (OSError,)), os.scandir(folder) as found:
        for one in found:
            if one.is_dir(follow_symlinks=False):
                yield Entry(one.path, is_folder=True)
                continue
            with suppress(FileNotFoundError):
                status = one.stat(follow_symlinks=False)
                size = _size_behind(one) if one.is_symlink() else status.st_size
                yield Entry(one.path, size, str(status.st_mtime or ""))


def files_below(folder: str, complete: bool) -> Iterator[Entry]:
    """The files in a folder and in those below it; `complete` as in `entries`."""
    folders = [folder]
    while folders:
        for entry in entries(folders.pop(), complete):
            if entry.is_folder:
                folders.append(entry.name)
            else:
                yield entry


def _size_behind(link: os.DirEntry[str]) -> int:
    """Bytes of what a link names, 0 if it names nothing."""
    try:
        return link.stat().st_size
    except OSError:
        return 0
