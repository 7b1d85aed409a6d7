"""The files of a Delta log, and what a power cut leaves of them."""

import json
import re

from craft_ray.core.logs import log
from craft_ray.storage.addresses import is_remote, join
from craft_ray.storage.storage import Storage

_COMMIT = re.compile(r"/\d{20}\.json$")


def log_files(storage: Storage, path: str) -> list[str]:
    """Addresses of the files in a table's log."""
    return storage.names(join(path, "_delta_log"))


def empty_commits(storage: Storage, path: str) -> list[str]:
    """Addresses of the files in a table's log that have no content, sorted; Delta would skip them without a word."""
    try:
        return sorted(entry.name for entry in storage.entries(join(path, "_delta_log")) if not entry.size)
    except (FileNotFoundError, NotADirectoryError):
        return []


def drop_torn_commit(storage: Storage, path: str) -> None:
    """Remove the last commit of a table if a power cut has torn it. A run flushes a commit before it goes on."""
    commits = [] if is_remote(path) else [name for name in log_files(storage, path) if _COMMIT.search(name)]
    if commits and not _is_whole(storage.read_bytes(last := max(commits))):
        log.warning("%s is torn, as after a power cut: this commit is undone", last)
        storage.remove_files([last])


def _is_whole(commit: bytes) -> bool:
    try:
        return bool([json.loads(line) for line in commit.splitlines()])
    except ValueError:
        return False
