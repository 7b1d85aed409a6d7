"""Local paths and s3:// addresses, as strings."""

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from craft_ray.core.errors import SettingsError


class Entry(NamedTuple):
    """A listed file or folder. The tag of a file changes with its content."""

    name: str
    size: int = 0
    tag: str = ""
    is_folder: bool = False
    is_file: bool = True


def is_remote(url: str) -> bool:
    """True for an s3:// address, False for a path.

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
    return url.partition("://")[2].partition("/")[0]


def absolute(url: str) -> str:
    """Make a path absolute. Trailing slashes are removed."""
    if is_remote(url):
        return "s3://" + url.partition("://")[2].rstrip("/")
    return os.path.abspath(os.path.expanduser(url))


def join(folder: str, *names: str) -> str:
    return "/".join((folder.rstrip("/"), *names))
