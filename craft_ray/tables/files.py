"""The files of a table: its log, of which a power cut may have torn a commit, and its data."""

import json
import re
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from craft_ray.core.errors import SettingsError
from craft_ray.core.logs import log
from craft_ray.storage.addresses import is_remote, join
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile

_COMMIT = re.compile(r"/\d{20}\.json$")
_CHECKPOINT = re.compile(r"/(\d{20})\.checkpoint\.")


def check_log(storage: Storage, path: str) -> int:
    """Undo the last commit of a table if a power cut has torn it; return the version of the last checkpoint, or 0.

    A run flushes a commit before it goes on. Raises SettingsError if an earlier commit is empty, which Delta would skip
    without a word.
    """
    try:
        sizes = {entry.name: entry.size for entry in storage.entries(join(path, "_delta_log"))}
    except (FileNotFoundError, NotADirectoryError):
        return 0
    last = max(filter(_COMMIT.search, sizes), default=None)
    if last and (is_remote(path) or _is_whole(storage.read_bytes(last))):
        storage.sync([last])  # the run that made it may have ended before, and others are going to follow it
    elif last:
        log.warning("%s is torn, as after a power cut: this commit is undone", last)
        storage.remove_files([last])
        del sizes[last]
    if empty := sorted(name for name, size in sizes.items() if not size):
        raise SettingsError(f"{empty[0]} is empty, as after a power cut: the table has lost a commit")
    return max((int(found[1]) for found in map(_CHECKPOINT.search, sizes) if found), default=0)


def _is_whole(commit: bytes) -> bool:
    try:
        return bool([json.loads(line) for line in commit.splitlines()])
    except ValueError:
        return False


def paths_of(table: DeltaTable) -> set[str]:
    """Paths of a table's files below its folder; in the log they are URL-encoded."""
    return {unquote(path) for path in pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()}


def data_files(storage: Storage, folder: str) -> dict[str, int]:
    """Sizes of the Parquet files of a table, by path below its folder; without the log and other hidden folders."""
    files = ((entry.name.removeprefix(f"{folder}/"), entry.size) for entry in storage.files_below(folder))
    return {path: size for path, size in files if path.endswith(".parquet") and path[0] not in "_."}


def add_action(file: DataFile, now: int, data_change: bool = True) -> AddAction:
    """The Delta action that adds a written file. now: milliseconds since 1970"""
    stats: dict[str, Any] = {"numRecords": file.rows}
    if file.first_id is not None:
        stats["minValues"], stats["maxValues"] = {"doc_id": file.first_id}, {"doc_id": file.last_id}
        stats["nullCount"] = {"doc_id": 0}
    return AddAction(file.path, file.size, _values(file), now, data_change, json.dumps(stats))


def remove_action(file: DataFile, now: int, data_change: bool) -> RemoveAction:
    return RemoveAction(file.path, data_change, now, file.size, _values(file))


def _values(file: DataFile) -> dict[str, str | None]:
    """The partition values of a file as strings, as in the log."""
    return {name: None if value is None else str(value) for name, value in file.partition.items()}
