"""Converted graphs and lexicons in the user's cache folder, since a conversion takes up to seconds.

Files are written under a temporary name and renamed, so concurrent runs always read a complete one. A damaged file is
made again. If the folder cannot be written, each run converts.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Literal

import numpy as np

from craft_ray.core.logs import log

MAX_FILES = 4
"""Files of a kind that are kept, the most recently used. A graph of 22 million parameters takes 60 to 90 MB."""

SETTLED = 5.0
"""Seconds after which two changes of a file have different times."""

_HEAD = 32
"""Bytes of the checksum, so that what follows is aligned."""


def cached(kind: Literal["graphs", "lexicons", "digests"], key: str, make: Callable[[], bytes]) -> memoryview:
    """Return the content of the file named `key`, which is made if it is missing or damaged.

    It is mapped from the file; what is written to it stays in memory.
    """
    if (folder := _cache_folder(kind)) is None:
        return memoryview(bytearray(make()))
    file = folder / key
    if (content := _read(file)) is None:
        content = memoryview(bytearray(make()))
        try:
            _write(file, content)
            _remove_old(folder)
        except OSError as error:
            log.info("a conversion is not kept: %s", error.strerror or error)
    return content


def remembered(file: Path, what: str, digest: Callable[[], str]) -> str:
    """Return a digest of a file's content, which is computed once, until the file changes.

    A change shows in the size, the inode or the times. A file that changed a moment ago may have the same times after
    another change, so nothing is remembered of it.

    what: everything else that determines the digest
    """
    found = file.stat()
    if time.time() - found.st_ctime < SETTLED:
        return digest()
    state = [str(file.resolve()), found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, what]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    return bytes(cached("digests", key, lambda: digest().encode())).decode()


def _cache_folder(kind: str) -> Path | None:
    """By the XDG base directory specification; None for a user without a home folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "craft_ray" / kind if os.path.isabs(base) else None


def _read(file: Path) -> memoryview | None:
    """The content if the file exists and matches its checksum."""
    try:
        with file.open("rb") as stream:
            stored = memoryview(mmap(stream.fileno(), 0, access=ACCESS_COPY))
        os.utime(file)
    except (OSError, ValueError):  # missing, just removed by another run, or empty
        return None
    head, content = stored[:_HEAD], stored[_HEAD:]
    return content if _checksum(content) == head else None


def _checksum(content: memoryview) -> bytes:
    """Sum and length: they find damage by accident, in a tenth of the time of a CRC over the 100 MB of a start."""
    words = np.frombuffer(content, np.uint64, len(content) // 8)
    total = int(words.sum()) + int.from_bytes(content[words.nbytes :], "little")
    return total.to_bytes(_HEAD // 2, "little") + len(content).to_bytes(_HEAD // 2, "little")


def _write(file: Path, content: memoryview) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_checksum(content))
            stream.write(content)
        os.replace(name, file)
    finally:
        Path(name).unlink(missing_ok=True)


def _remove_old(folder: Path) -> None:
    newest_first = sorted(folder.glob("[!.]*"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in newest_first[MAX_FILES:]:
        file.unlink(missing_ok=True)
