"""The command `compact` moves rows and changes none."""

from pathlib import Path

import pytest
from deltalake import DeltaTable

from craft_ray.core.errors import OutputBusyError, SettingsError
from craft_ray.model.tags import TagSet
from craft_ray.tables.compaction import compact
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, assert_consistent, block, rows, table

RUN = "20260101T000000-00000000"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Tables of two commits, the documents of the second sorted before those of the first; none has a year."""
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("m", "mouse"), ("z", "rat"))])
    tables.append([block(tmp_path, ("a", "worm"), ("n", "yeast"), shard=1)])
    return tmp_path


def test_rows_are_sorted_into_one_file_per_partition(output: Path):
    before = rows(output, "entities"), rows(output, "documents")
    sizes = compact(STORAGE, str(output))
    assert (rows(output, "entities"), rows(output, "documents")) == before
    assert {name: (size["before"]["files"], size["after"]["files"]) for name, size in sizes.items()} == {
        "entities": (2, 1),
        "documents": (2, 1),
    }
    for name in ("entities", "documents"):
        table = DeltaTable(str(output / name))
        ids = table.to_pyarrow_table()["doc_id"].to_pylist()
        assert ids == sorted(ids)
        assert {path.name for path in (output / name).rglob("*.parquet")} == {
            Path(uri).name for uri in table.file_uris()
        }


@pytest.mark.parametrize(("partition_by", "files"), [(("label",), 1), (("label", "year"), 2)])
def test_later_runs_keep_the_partitioning(tmp_path: Path, partition_by: tuple[str, ...], files: int):
    """delta-rs writes the files of `compact` with other Arrow types and other paths."""
    tags = TagSet.from_id2label({0: "O", 1: "B-cell line/kind 100%"})
    Tables(STORAGE, str(tmp_path)).append([block(tmp_path, ("a", "HeLa"), ("b", "rat"), tags=tags, run_id=RUN)])
    compact(STORAGE, str(tmp_path), partition_by)
    tables = Tables(STORAGE, str(tmp_path), RUN)
    assert tables.partition_by == partition_by
    layout = {"tags": tags, "partition_by": partition_by, "run_id": RUN}
    tables.append([block(tmp_path, ("c", "fly"), **layout)])
    new = block(tmp_path, ("a", "mouse"), shard=1, year=2025, **layout)
    tables.replace([new], [all_of(new)])
    tables.finish(compact=True)
    assert (len(tables.entities.files()), len(tables.documents.files())) == (files, 1)
    mentions = [("a", "mouse"), ("b", "rat"), ("c", "fly")]
    assert rows(tmp_path, "entities") == [(*one, "cell line/kind 100%") for one in mentions]
    assert_consistent(tmp_path)
    compact(STORAGE, str(tmp_path), ["label"], sort="mention")
    found = table(tmp_path, "entities")
    assert found["mention"].to_pylist() == ["fly", "mouse", "rat"]
    assert "year" not in found.column_names


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"partition_by": ["year"]}, "cannot partition by year"),
        ({"sort": "text"}, "cannot sort by text"),
    ],
)
def test_unsupported_layouts_are_refused(output: Path, arguments, sentence: str):
    with pytest.raises(SettingsError, match=sentence):
        compact(STORAGE, str(output), **arguments)


def test_refused_without_tables_and_while_a_run_is_at_work(output: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match="there are no tables"):
        compact(STORAGE, str(tmp_path / "none"))
    with hold_lease(STORAGE, str(output)), pytest.raises(OutputBusyError):
        compact(STORAGE, str(output))
