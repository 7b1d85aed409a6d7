"""Reading tables batch by batch gives the rows that a scan gives."""

import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError
from craft_ray.tables.compaction import compact
from craft_ray.tables.records import RunRecord
from craft_ray.tables.snapshots import before_last_change, open_shards, open_snapshot
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, commit, finished, numbered_document


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


RUNS = ("20260101T000000-aaaa", "20260102T000000-bbbb", "20260102T000000-cccc")


@pytest.fixture
def nights(tmp_path: Path) -> Path:
    """An output after two nights that brought ten documents each, one that found nothing, and one that was killed."""
    for night, (run_id, status) in enumerate(zip(RUNS, ("complete", "complete", "nothing_new"), strict=True)):
        if status == "complete":
            commit(tmp_path, [numbered_document(number) for number in range(night * 10, night * 10 + 10)])
        versions = Tables(STORAGE, str(tmp_path)).versions()
        RunRecord(STORAGE, str(tmp_path), run_id).close(status, {}, [], versions)
    RunRecord(STORAGE, str(tmp_path), "20260103T000000-dddd")
    return tmp_path


@pytest.mark.parametrize(("reference", "documents"), [(None, 20), ("20260101", 10), ("20260102T000000-b", 20)])
def test_tables_are_opened_as_they_are_or_as_a_run_left_them(nights: Path, reference: str | None, documents: int):
    snapshot = open_snapshot(STORAGE, str(nights), reference)
    assert snapshot.documents.dataset.count_rows() == documents
    assert len(set(snapshot.entities.dataset.to_table(["doc_id"])["doc_id"].to_pylist())) == documents
    assert snapshot.run_id == next((run for run in RUNS if reference and run.startswith(reference)), None)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("20260102", "2 runs in .* are named 20260102"),
        ("last", "no runs in .* are named last"),
        ("20260103", "did not come to an end"),
        ("9999", "no version 9999"),
    ],
)
def test_a_state_that_there_is_not_is_refused_by_its_name(nights: Path, reference: str, said: str):
    with pytest.raises(SettingsError, match=said):
        open_snapshot(STORAGE, str(nights), reference)


def test_the_last_change_is_compared_with_the_run_before_it(nights: Path):
    assert before_last_change(STORAGE, str(nights)) == RUNS[0]
    for run_id in RUNS[1:]:
        (nights / "runs" / f"{run_id}.json").unlink()
    with pytest.raises(SettingsError, match="no two runs"):
        before_last_change(STORAGE, str(nights))


def test_rows_are_counted_by_label_and_against_another_version_without_reading_any(nights: Path):
    first, last = (open_snapshot(STORAGE, str(nights), reference) for reference in ("20260101", None))
    labels = last.entities.dataset.to_table(["label"])["label"].to_pylist()
    shutil.rmtree(nights / "entities" / "label=Taxon")
    assert last.entities.rows_by_label() == Counter(labels)
    assert (last.documents.rows_not_in(first.documents), first.documents.rows_not_in(last.documents)) == (10, 0)


def test_an_output_of_a_version_without_shards_has_none(tmp_path: Path):
    assert open_shards(STORAGE, str(tmp_path)).count_rows() == 0
    tables = Tables(STORAGE, str(tmp_path))
    tables.record_finished(finished("run", a=3))
    assert open_shards(STORAGE, str(tmp_path)).to_table()["found"].to_pylist() == [3]
