"""The version of the tables: recorded in new ones, and a later one is refused."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError
from craft_ray.tables.compaction import compact
from craft_ray.tables.version import VERSION
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, open_tables, table


def test_compaction_keeps_version_and_id_key(tables: Tables, tmp_path: Path):
    tables.append([block(tmp_path, ("a", "mouse"))])
    compact(STORAGE, str(tmp_path))
    assert DeltaTable(str(tmp_path / "documents")).metadata().configuration["craft-ray.schema"] == str(VERSION)
    assert Tables(STORAGE, str(tmp_path)).ids == tables.ids


def test_each_output_has_an_id_key_of_its_own(tmp_path: Path):
    one, other = (Tables(STORAGE, str(tmp_path / name)).ids for name in ("one", "other"))
    assert len(one.key) == 16
    assert one.hash("a") != other.hash("a")


def test_later_version_is_neither_read_nor_written(tmp_path: Path):
    Tables(STORAGE, str(tmp_path)).append([block(tmp_path, ("a", "mouse"))])
    later = {"craft-ray.schema": str(VERSION + 1)}
    DeltaTable(str(tmp_path / "documents")).alter.set_table_properties(later, raise_if_not_exists=False)
    before = DeltaTable(str(tmp_path / "documents")).version()
    for open_ in (lambda: Tables(STORAGE, str(tmp_path)), lambda: open_tables(tmp_path)):
        with pytest.raises(SettingsError, match=f"version {VERSION + 1}, written by a later craft_ray"):
            open_()
    assert DeltaTable(str(tmp_path / "documents")).version() == before
    assert table(tmp_path, "documents").num_rows == 1
