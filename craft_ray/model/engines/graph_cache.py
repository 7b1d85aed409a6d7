"""Converted graphs, kept in the user's cache folder: converting one takes seconds, and the next run needs it again.

A file is written under another name and then renamed, so that of two runs that make the same graph each reads it whole.
A file that is damaged is made anew; a folder that cannot be written costs the time of conversion alone.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from craft_ray.core.logs import log

KEPT = 4
"""Graphs that are kept, the last used; each takes 60 to 90 MB for a model of 22 million parameters."""

_DIGEST = hashlib.sha256().digest_size


def cache_folder() -> Path | None:
    """The folder of the graphs, by the XDG base directories; None for a user who has no home folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "craft_ray" / "graphs" if os.path.isabs(base) else None


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """The content that was kept under a key (a file name), made and kept if there is none."""
    if (folder := cache_folder()) is None:
        return make()
    file = folder / key
    if (content := _read(file)) is None:
        content = make()
        try:
            _write(file, content)
            _remove_old(folder)
        except OSError as error:
            log.info("the converted model is not kept: %s", error.strerror or error)
    return content


def _read(file: Path) -> bytes | None:
    """The content of a file that is whole; None for any other."""
    try:
        stored = file.read_bytes()
        os.utime(file)
    except OSError:  # it is not there, or another run has just removed it
        return None
    digest, content = stored[:_DIGEST], stored[_DIGEST:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(hashlib.sha256(content).digest())
            stream.write(content)
        os.replace(name, file)
    finally:
        Path(name).unlink(missing_ok=True)


def _remove_old(folder: Path) -> None:
    used = sorted(folder.glob("[!.]*"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in used[KEPT:]:
        file.unlink(missing_ok=True)
