"""Paths and s3:// addresses, as text."""

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from craft_ray.core.errors import SettingsError


class Entry(NamedTuple):
    """A file or a folder as storage lists it; the tag of a file changes with its content."""

    name: str
    size: int = 0
    tag: str = ""
    is_folder: bool = False


def is_remote(url: str) -> bool:
    """True if this is an s3:// address.

    Raises SettingsError for another protocol.
    """
    if url.startswith("s3://"):
        return True
    if "://" not in url:
        return False
    if urlsplit(url).scheme in ("s3", "s3a"):
        return True
    raise SettingsError(f"{url.partition('://')[0]}:// is not supported: give a local path or an s3:// address")


def bucket(url: str) -> str:
    """The bucket of an s3:// address."""
    return url.partition("://")[2].partition("/")[0]


def absolute(url: str) -> str:
    """An address as it is, a path made absolute, neither with a slash at its end."""
    if is_remote(url):
        return "s3://" + url.partition("://")[2].rstrip("/")
    return os.path.abspath(os.path.expanduser(url))


def join(folder: str, *names: str) -> str:
    """A path or address below a folder."""
    return "/".join((folder.rstrip("/"), *names))
