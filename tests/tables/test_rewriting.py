"""Compaction: which files are compacted together, sorted rows, and no row lost."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3fs import S3File

from craft_ray.core.errors import RunError
from craft_ray.core.schema import DOCUMENTS, ENTITIES, SHARDS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables import rewriting, writer
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.rewriting import Compaction, Rewrite, TableLocation, plan_compaction
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, assert_only_the_snapshot, block, rows


def location(output: Path, name: str = "documents") -> TableLocation:
    return TableLocation(STORAGE, str(output / name), DOCUMENTS if name == "documents" else ENTITIES, "run")


def read(output: Path, file: DataFile, name: str = "documents") -> pq.ParquetFile:
    return pq.ParquetFile(output / name / file.path)


def test_compaction_sorts_and_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rewriting, "MIN_ROWS", 2)
    monkeypatch.setattr(rewriting, "ROW_GROUP", 1)
    written = [block(tmp_path, *((name, f"a mouse of {name}") for name in names)) for names in ("dhb", "gac", "fie")]
    files = [file for one in written for file in one.documents]
    new = Compaction(location(tmp_path), files, sum(file.size for file in files) // 2).run()
    assert [(file.first_id, file.last_id, file.rows) for file in new] == [("a", "e", 5), ("f", "i", 4)]
    tables = [read(tmp_path, file) for file in new]
    assert pa.concat_tables([table.read(["doc_id", "text"]) for table in tables]).to_pylist() == [
        {"doc_id": name, "text": f"a mouse of {name}"} for name in "abcdefghi"
    ]
    assert [table.num_row_groups for table in tables] == [3, 3]
    assert tables[0].metadata.row_group(0).column(0).compression == "ZSTD"
    assert all((tmp_path / "documents" / file.path).stat().st_size == file.size for file in new)


def test_compaction_of_a_partition_keeps_all_columns(tmp_path: Path):
    written = [block(tmp_path, (name, "mouse")) for name in "ba"]
    before = [read(tmp_path, file, "entities").read() for one in written for file in one.entities]
    (merge,) = plan_compaction(location(tmp_path, "entities"), [file for one in written for file in one.entities])
    (new,) = merge.run()
    assert new.path.startswith("label=Taxon/run-")
    assert new.partition == {"label": "Taxon"}
    after = read(tmp_path, new, "entities").read()
    assert after.to_pylist() == pa.concat_tables(before[::-1]).to_pylist()
    assert after.schema.names == [name for name in ENTITIES.names if name != "label"]


def test_compaction_with_missing_rows_fails(tmp_path: Path):
    written = [block(tmp_path, (name, "mouse")) for name in "ab"]
    files = [file for one in written for file in one.documents]
    lying = DataFile(files[0].path, files[0].size, 2, "a", "b")
    with pytest.raises(RunError, match="2 rows were read of files of 3"):
        Compaction(location(tmp_path), [lying, files[1]], 1 << 20).run()


def file(first: str, size: int, last: str = "", **partition: str) -> DataFile:
    return DataFile(f"{first}.parquet", size, 10, first, last or first, partition)


def test_plan_takes_small_files_of_one_partition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rewriting, "FILE", 10)
    (merge,) = plan_compaction(location(Path()), [file("b", 4), file("a", 1), file("c", 5), file("d", 60)])
    assert ([one.first_id for one in merge.files], merge.file_bytes) == (["a", "b"], 10)
    assert plan_compaction(location(Path()), [file("a", 1, label="Taxon"), file("b", 1, label="Cell")]) == []


def test_plan_groups_neighbouring_documents(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rewriting, "MAX_INPUT", 4)
    files = [replace(file(name, 2), path=path) for name, path in zip("dacb", "wzxy", strict=True)]
    found = plan_compaction(location(Path()), files)
    assert [[one.first_id for one in merge.files] for merge in found] == [["a", "b"], ["c", "d"]]


def test_nights_leave_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    size = block(tmp_path, ("m", "mouse")).documents[0].size
    monkeypatch.setattr(rewriting, "FILE", 3 * size)
    tables = Tables(STORAGE, str(tmp_path))
    counts = []
    for night in range(8):
        tables.append([block(tmp_path, *((f"{night}{n}", "a mouse " * 40) for n in range(9)))])
        tables.finish(compact=True)
        counts.append(len(tables.documents.files()))
    assert max(counts) <= 4
    assert any(later == earlier + 1 for earlier, later in pairwise(counts)), "no night may rewrite all"
    assert len(rows(tmp_path, "documents")) == len(rows(tmp_path, "entities")) == 72


def test_signal_stops_after_the_current_compaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stop = threading.Event()

    def signalled(rewrites: Sequence[Rewrite]) -> Iterator[Sequence[DataFile]]:
        for files in rewriting.run_locally(rewrites):
            stop.set()
            yield files

    tables = Tables(STORAGE, str(tmp_path), run=signalled)
    for name in "abcdefgh":
        tables.append([block(tmp_path, (name, f"a mouse of {name}"))])
    before = rows(tmp_path, "entities"), rows(tmp_path, "documents")
    monkeypatch.setattr(rewriting, "MAX_INPUT", 1 + max(file.size for file in tables.entities.files()))  # two files
    tables.finish(compact=True, stopped=stop.is_set)
    assert [len(table.files()) for table in (tables.entities, tables.documents)] == [7, 8]
    assert_only_the_snapshot(tmp_path)
    assert (rows(tmp_path, "entities"), rows(tmp_path, "documents")) == before
    monkeypatch.undo()
    Tables(STORAGE, str(tmp_path)).finish(compact=True)
    assert_only_the_snapshot(tmp_path, files=1)
    assert (rows(tmp_path, "entities"), rows(tmp_path, "documents")) == before


def test_finish_without_compaction(tables: Tables, tmp_path: Path):
    for name in "ab":
        tables.append([block(tmp_path, (name, "mouse"))])
    tables.finish(compact=False)
    assert len(tables.entities.files()) == len(tables.documents.files()) == 2


def test_shards_become_one_file(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "MAX_SHARD_FILES", 2)
    for night in range(3):
        row = {"shard": f"{night}", "found": 1, "run_id": "run"}
        tables.record_finished(pa.Table.from_pylist([row], schema=SHARDS))
    tables.finish(compact=False)
    assert len(tables.shards.files()) == 3
    tables.finish(compact=True)
    assert len(tables.shards.files()) == 1
    assert sorted(tables.finished_shards()["shard"].to_pylist()) == ["0", "1", "2"]


def test_compaction_survives_storage_faults(tmp_path: Path, on_s3: str, monkeypatch: pytest.MonkeyPatch):
    files = []
    for name in "ba":
        (own,) = block(tmp_path, (name, "mouse")).documents
        STORAGE.write_bytes(f"{on_s3}/{own.path}", (tmp_path / "documents" / own.path).read_bytes())
        files.append(own)
    reads: list[bool] = []
    fetch = S3File._fetch_range

    def fetch_at_the_third_try(self: S3File, start: int, end: int) -> bytes:
        reads.append(len(reads) % 3 == 2)
        if not reads[-1]:
            raise ConnectionResetError("connection reset")
        return fetch(self, start, end)

    monkeypatch.setattr(S3File, "_fetch_range", fetch_at_the_third_try)
    (new,) = Compaction(TableLocation(Storage(S3Settings()), on_s3, DOCUMENTS, "run"), files, 1 << 20).run()
    assert (new.first_id, new.last_id, new.rows) == ("a", "b", 2)
    assert not all(reads)
