"""The files of a Delta log, and what a power cut leaves of them."""

import json
import re

from craft_ray.core.errors import SettingsError
from craft_ray.core.logs import log
from craft_ray.storage.addresses import is_remote, join
from craft_ray.storage.storage import Storage

_COMMIT = re.compile(r"/\d{20}\.json$")


def log_files(storage: Storage, path: str) -> list[str]:
    """Addresses of the files in a table's log."""
    return storage.names(join(path, "_delta_log"))


def check_commits(storage: Storage, path: str) -> None:
    """Undo the last commit of a table if a power cut has torn it. A run flushes a commit before it goes on.

    Raises SettingsError if an earlier commit is empty, which Delta would skip without a word.
    """
    try:
        sizes = {entry.name: entry.size for entry in storage.entries(join(path, "_delta_log"))}
    except (FileNotFoundError, NotADirectoryError):
        return
    last = max(filter(_COMMIT.search, sizes), default=None)
    if last and not is_remote(path) and not _is_whole(storage.read_bytes(last)):
        log.warning("%s is torn, as after a power cut: this commit is undone", last)
        storage.remove_files([last])
        del sizes[last]
    if empty := sorted(name for name, size in sizes.items() if not size):
        raise SettingsError(f"{empty[0]} is empty, as after a power cut: the table has lost a commit")


def _is_whole(commit: bytes) -> bool:
    try:
        return bool([json.loads(line) for line in commit.splitlines()])
    except ValueError:
        return False
