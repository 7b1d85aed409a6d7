"""The command `compact` moves rows and changes none."""

import json
import time
from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from craft_ray.core.errors import OutputBusyError, SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.compaction import compact
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, rows


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Tables of two commits, the documents of the second sorted before those of the first; none has a year."""
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("m", "mouse"), ("z", "rat"))])
    tables.append([block(tmp_path, ("a", "worm"), ("n", "yeast"), shard=1)])
    return tmp_path


def partition_paths(output: Path) -> set[str]:
    return {str(file.parent.relative_to(output / "entities")) for file in (output / "entities").rglob("*.parquet")}


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


def test_later_runs_keep_the_partitioning(output: Path):
    compact(STORAGE, str(output), ["label", "year"])
    assert partition_paths(output) == {"label=Taxon/year=__HIVE_DEFAULT_PARTITION__"}
    tables = Tables(STORAGE, str(output))
    assert tables.partition_by == ("label", "year")
    new = block(output, ("b", "fly"), partition_by=tables.partition_by, year=2026)
    revised = block(output, ("a", "human"), ("m", "dog"), partition_by=tables.partition_by, year=2025, shard=2)
    tables.append([new])
    tables.replace([revised], [all_of(revised)])
    tables.finish(compact=True)
    table = DeltaTable(str(output / "entities")).to_pyarrow_table(columns=["doc_id", "mention", "year"])
    assert sorted(map(tuple, (row.values() for row in table.to_pylist()))) == [
        ("a", "human", 2025),
        ("b", "fly", 2026),
        ("m", "dog", 2025),
        ("n", "yeast", None),
        ("z", "rat", None),
    ]
    assert partition_paths(output) == {f"label=Taxon/year={y}" for y in (2025, 2026, "__HIVE_DEFAULT_PARTITION__")}
    compact(STORAGE, str(output), ["label"], sort="mention")
    assert partition_paths(output) == {"label=Taxon"}
    table = DeltaTable(str(output / "entities")).to_pyarrow_table()
    assert table["mention"].to_pylist() == sorted(table["mention"].to_pylist())
    assert "year" not in table.column_names
    assert pc.count_distinct(table["doc_id"]).as_py() == 5


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
    with (
        hold_lease(STORAGE, str(output)),
        pytest.raises(OutputBusyError),
    ):
        compact(STORAGE, str(output))


def test_compact_sleeps_while_it_waits_for_a_lease(output: Path):
    lease = {"run_id": "far", "scope": "other-host x 1", "pid": 1, "started": 0.0, "beat": 7}
    reads: list[float] = []

    class Watched(Storage):
        """Storage on which a run elsewhere releases its lease after half a second."""

        def read_bytes(self, url: str) -> bytes:
            if not url.endswith("_lease/00000001.json"):
                return super().read_bytes(url)
            reads.append(time.monotonic())
            return json.dumps(lease | {"released": reads[-1] - reads[0] > 0.5}).encode()

    STORAGE.write_bytes(f"{output}/_lease/00000001.json", b"")
    compact(Watched(S3Settings()), str(output))
    assert len(reads) == 2
