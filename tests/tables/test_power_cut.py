"""What a commit names is on disk before the commit, and so is the commit before the run goes on."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import SHARDS
from craft_ray.tables.delta import NumberedTable
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, rows


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Paths that have been flushed to disk."""
    paths: set[str] = set()
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        paths.add(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", record)
    return paths


def test_files_and_commits_are_synced_in_order(tmp_path: Path, synced: set[str], monkeypatch: pytest.MonkeyPatch):
    commit, checked = NumberedTable.commit, []

    def check(table: NumberedTable, *arguments: Any, **named: Any) -> None:
        before = synced.copy()
        commit(table, *arguments, **named)
        files = [Path(table.path, file.path) for file in table.files()]
        assert {str(path) for file in files for path in (file, file.parent)} <= before
        assert f"{table.path}/_delta_log/{table.version:020}.json" in synced
        checked.append(len(files))

    tables = Tables(STORAGE, str(tmp_path))
    monkeypatch.setattr(NumberedTable, "commit", check)
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"))])
    revised = block(tmp_path, ("a", "human"), shard=1)
    tables.replace([revised], [all_of(revised)])
    tables.record_finished(pa.Table.from_pylist([{"shard": "a.xml", "run_id": "1"}], schema=SHARDS))
    tables.remove(pa.array(["b"]))
    assert len(checked) == 7


@pytest.mark.parametrize("left", [0, 100])
def test_a_torn_last_commit_is_undone(tmp_path: Path, left: int):
    tables = Tables(STORAGE, str(tmp_path))
    for name in "ab":
        tables.append([block(tmp_path, (name, "mouse"))])
    os.truncate(tmp_path / "documents" / "_delta_log" / f"{tables.documents.version:020}.json", left)
    tables = Tables(STORAGE, str(tmp_path))
    assert tables.counts() == {"documents": 1, "entities": 1}
    tables.append([block(tmp_path, ("b", "rat"))])
    assert [mention for _, mention, _ in rows(tmp_path, "entities")] == ["mouse", "rat"]


def test_an_emptied_commit_is_refused(tmp_path: Path):
    """Delta skips it without a word, and a vacuum then removes the Parquet files that it had added."""
    tables = Tables(STORAGE, str(tmp_path))
    for name in "ab":
        tables.append([block(tmp_path, (name, "mouse"))])
    emptied = tmp_path / "documents" / "_delta_log" / f"{tables.documents.version - 1:020}.json"
    emptied.write_bytes(b"")
    with pytest.raises(SettingsError, match=f"{emptied} is empty, as after a power cut"):
        Tables(STORAGE, str(tmp_path))
    assert len(list((tmp_path / "documents").glob("*.parquet"))) == 2
    assert DeltaTable(str(tmp_path / "entities")).to_pyarrow_table().num_rows == 2


def test_the_last_commit_of_a_dead_run_is_synced(tables: Tables, tmp_path: Path, synced: set[str]):
    """Else a power cut could lose it, and keep those that follow it."""
    tables.append([block(tmp_path, ("a", "mouse"))])
    last = f"{tmp_path}/entities/_delta_log/{tables.entities.version:020}.json"
    synced.clear()
    Tables(STORAGE, str(tmp_path))
    assert last in synced
