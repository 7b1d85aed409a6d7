"""Tables of other versions: those of earlier ones go on as they were, those of later ones are left alone."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import DOCUMENTS, SHARDS
from craft_ray.tables.compaction import compact
from craft_ray.tables.snapshots import open_snapshot
from craft_ray.tables.version import VERSION, names_by_path, version_of
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, rows, table


def made_by_an_earlier_version(output: Path) -> Path:
    """Tables with the properties and the columns that version 1 had."""
    for name, schema in (("documents", DOCUMENTS), ("shards", SHARDS.remove(SHARDS.get_field_index("named")))):
        DeltaTable.create(str(output / name), schema)
    return output


def test_new_tables_have_the_version_and_keep_it_through_a_compaction(tmp_path: Path):
    Tables(STORAGE, str(tmp_path)).append([block(tmp_path, ("a", "mouse"))])
    compact(STORAGE, str(tmp_path))
    documents = DeltaTable(str(tmp_path / "documents"))
    assert version_of(documents) == VERSION
    assert names_by_path(documents)


def test_tables_of_an_earlier_version_get_its_columns_and_name_documents_as_before(tmp_path: Path):
    tables = Tables(STORAGE, str(made_by_an_earlier_version(tmp_path)))
    assert not tables.names_by_path
    assert version_of(DeltaTable(str(tmp_path / "documents"))) == VERSION
    assert tables.finished_shards().schema == SHARDS
    tables.append([block(tmp_path, ("a", "mouse"))])
    again = Tables(STORAGE, str(tmp_path))
    assert not again.names_by_path
    assert rows(tmp_path, "documents") == [("a", "annotated", 1)]


def test_tables_of_a_later_version_are_neither_read_nor_written(tmp_path: Path):
    Tables(STORAGE, str(tmp_path)).append([block(tmp_path, ("a", "mouse"))])
    later = {"craft-ray.schema": str(VERSION + 1)}
    DeltaTable(str(tmp_path / "documents")).alter.set_table_properties(later, raise_if_not_exists=False)
    before = DeltaTable(str(tmp_path / "documents")).version()
    for open_ in (lambda: Tables(STORAGE, str(tmp_path)), lambda: open_snapshot(STORAGE, str(tmp_path))):
        with pytest.raises(SettingsError, match=f"version {VERSION + 1}, which a later craft_ray has written"):
            open_()
    assert DeltaTable(str(tmp_path / "documents")).version() == before
    assert table(tmp_path, "documents").num_rows == 1
