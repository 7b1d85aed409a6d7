"""Local paths and s3:// addresses, as strings."""

import os
from typing import NamedTuple
from urllib.parse import urlsplit

from craft_ray.core.errors import SettingsError

_JOB_FOLDER = "/runtime_resources/working_dir_files/"
"""Where Ray puts the copies of the working directory of jobs, within its own folder."""


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


def absolute_output(url: str) -> str:
    """Make the path of an output absolute.

    Raises SettingsError for a path relative to the copy of the working directory that Ray makes for a job, since Ray
    removes it with all that was written into it.
    """
    if not is_remote(url) and not os.path.isabs(os.path.expanduser(url)) and _JOB_FOLDER in os.getcwd():
        raise SettingsError(
            f"the output {url} is relative to the job's copy of the working directory, which Ray removes: "
            "give an s3:// address, or an absolute path that all nodes reach"
        )
    return absolute(url)


def join(folder: str, *names: str) -> str:
    return "/".join((folder.rstrip("/"), *names))
