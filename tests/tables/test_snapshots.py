"""Reading tables batch by batch gives the rows that a scan gives."""

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from craft_ray.tables.compaction import compact
from craft_ray.tables.snapshots import open_snapshot
from tests.support.outputs import STORAGE, commit, numbered_document


@pytest.fixture
def output(tmp_path: Path) -> Path:
    for at in (20, 0, 10):
        commit(tmp_path, [numbered_document(number) for number in range(at, at + 10)])
    return tmp_path


def rows(table: pa.Table | pa.RecordBatchReader) -> list[tuple]:
    whole = table if isinstance(table, pa.Table) else table.read_all()
    return sorted(tuple(row.values()) for row in whole.to_pylist())


@pytest.mark.parametrize("partition_by", [["label"], ["label", "year"]])
@pytest.mark.parametrize(
    "wanted",
    [
        ds.scalar(True),
        ds.field("label") == "Taxon",
        (ds.field("doc_id") >= "PMID:000012") & (ds.field("doc_id") < "PMID:000023") & (ds.field("score") > 0.6),
        ds.field("doc_id") == "PMID:none",
    ],
)
def test_a_stream_has_the_rows_of_a_scan(output: Path, partition_by: list[str], wanted: ds.Expression):
    compact(STORAGE, str(output), partition_by)
    view = open_snapshot(STORAGE, str(output)).entities
    columns = ["start", "label", "doc_id", "mention"]
    stream = view.stream(columns, wanted, ("label", "doc_id", "score"), 7)
    assert stream.schema.names == columns
    assert rows(stream) == rows(view.dataset.to_table(columns=columns, filter=wanted))


def test_only_files_and_row_groups_that_can_hold_rows_wanted_are_read(output: Path, monkeypatch):
    view = open_snapshot(STORAGE, str(output)).documents
    wanted = ds.field("doc_id") == "PMID:000015"
    (other,) = [
        path for path in view.rows if "000020" in str(ds.dataset(output / "documents" / path).head(1)["doc_id"])
    ]
    (output / "documents" / other).unlink()
    assert rows(view.stream(["doc_id"], wanted, ("doc_id",), 100)) == [("PMID:000015",)]


def test_files_that_delta_rs_has_rewritten_are_read_like_others(output: Path):
    DeltaTable(str(output / "documents")).delete("doc_id = 'PMID:000011'")
    view = open_snapshot(STORAGE, str(output)).documents
    found = view.stream(["doc_id", "text"], ds.field("doc_id") < "PMID:000013", ("doc_id",), 100)
    assert [doc_id for doc_id, _ in rows(found)] == [f"PMID:{number:06}" for number in range(13) if number != 11]
