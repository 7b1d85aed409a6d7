"""A block of annotated rows becomes files, and one small row for the driver."""

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from craft_ray.annotation.rows import FAILURE, PREDICTIONS, SHARD_END, TOKENIZED
from craft_ray.annotation.write import WriteTask, write_block, write_blocks
from craft_ray.core.schema import DOCUMENTS
from craft_ray.model.decode import Decoder
from craft_ray.tables import identity
from craft_ray.tables.blocks import DUPLICATE, RETRACTED, DataFile, WrittenBlock
from craft_ray.tables.identity import IdHasher
from craft_ray.tables.lease import FOLDER as LEASE_FOLDER
from tests.support.ontologies import grounder
from tests.support.outputs import STORAGE, document_without_text, numbered_document
from tests.support.tags import TAG_SET

RUN = "20260101T000000-00000000"
Row = dict[str, Any]


def prepared(*rows: Row) -> pa.Table:
    schema = pa.schema([*TOKENIZED, *(pa.field(name, kind) for name, kind in PREDICTIONS.items())])
    return pa.Table.from_pylist(list(rows), schema=schema)


def task(output: Path, **more: Any) -> WriteTask:
    return WriteTask(STORAGE, str(output), RUN, Decoder(TAG_SET), **more)


def written(output: Path, *rows: Row, **more: Any) -> WrittenBlock:
    return write_block(prepared(*rows), task(output, **more))


def read(folder: Path, files: list[DataFile]) -> list[Row]:
    return [row for file in files for row in pq.ParquetFile(folder / file.path).read().to_pylist()]


def end_of(shard: int, **account: Any) -> Row:
    return document_without_text("in/a.jsonl", SHARD_END) | {"detail": json.dumps({"shard_number": shard} | account)}


def test_files_of_a_block(tmp_path: Path):
    block = written(
        tmp_path, numbered_document(1), numbered_document(2), document_without_text("c", "rejected"), end_of(4, found=3)
    )
    documents, entities = (read(tmp_path / name, getattr(block, name)) for name in ("documents", "entities"))
    assert [row["doc_id"] for row in documents] == ["PMID:000001", "PMID:000002", "c"]
    counted = Counter(row["doc_id"] for row in entities)
    assert [row["n_entities"] for row in documents] == [counted["PMID:000001"], counted["PMID:000002"], 0]
    assert counted.total() == block.labels.total() > 4
    for row in (*documents, *entities):
        assert (row["run_id"], row["block_id"]) == (RUN, block.block_id)
    assert all(f"label={label}/" in file.path for file in block.entities for label in file.partition.values())
    assert (block.status, block.reason) == (["annotated"] * 2 + ["rejected"], [None, None, "bad_xml"])
    assert (block.tokens, block.shard_accounts, block.failure) == (24, [{"shard_number": 4, "found": 3}], None)
    assert not list(tmp_path.rglob("_delta_log"))


def test_a_block_is_called_by_what_is_in_it(tmp_path: Path):
    first, again, other = (written(tmp_path, numbered_document(number)) for number in (1, 1, 2))
    assert first.block_id == again.block_id != other.block_id
    assert first.documents[0].path != again.documents[0].path


def test_a_block_without_documents_writes_no_file(tmp_path: Path):
    repeated = numbered_document(1) | {"status": DUPLICATE, "text": None, "shard_number": 6}
    block = written(tmp_path, repeated, end_of(6), document_without_text("", FAILURE) | {"detail": "no space left"})
    assert (block.documents, block.entities, block.status, block.tokens) == ([], [], [], 0)
    assert block.duplicates["id"].tolist() == [IdHasher().hash("PMID:000001")]
    assert identity.shard_numbers(block.duplicates["revision"]).tolist() == [6]
    assert block.failure == "no space left"
    assert not list(tmp_path.rglob("*.parquet"))


def test_the_newest_revision_is_written(tmp_path: Path):
    revisions = [(2, 3), (1, 5), (2, 4), (1, 3), (1, 3)]
    rows = [numbered_document(1) | {"version": version, "shard_number": shard} for version, shard in revisions]
    block = written(tmp_path, *rows, numbered_document(2))
    kept = read(tmp_path / "documents", block.documents)
    assert [(row["doc_id"], row["version"]) for row in kept] == [("PMID:000001", 2), ("PMID:000002", 1)]
    assert block.shard_number.tolist() == [4, 0]
    assert block.superseded == {3: 3, 5: 1}


def test_ledger_entries_of_a_block(tmp_path: Path):
    statuses = ("rejected", "deleted", RETRACTED)
    block = written(tmp_path, numbered_document(1), *(document_without_text(status, status) for status in statuses))
    first, rejected, deleted, retracted = block.entries
    assert block.entries["deleted"].tolist() == [False, False, True, True]
    assert rejected["revision"] == identity.revision(1, 0, True) < first["revision"] == identity.revision(1, 0, False)
    assert deleted["revision"] == first["revision"]
    assert retracted["revision"] == np.iinfo(np.int64).max, "it wins against whatever came before"


def test_keep_text_off(tmp_path: Path):
    kept, left_out = (written(tmp_path, numbered_document(1), keep_text=keep_text) for keep_text in (True, False))
    (row,) = read(tmp_path / "documents", left_out.documents)
    (whole,) = read(tmp_path / "documents", kept.documents)
    assert whole["text"]
    assert row == whole | {"text": None}
    assert left_out.labels == kept.labels


def test_left_out_mentions_are_counted(tmp_path: Path):
    rows = *(numbered_document(number) for number in range(5)), document_without_text("c", "rejected")
    every = written(tmp_path, *rows)
    block = written(tmp_path, *rows, grounder=grounder(grounded_only=frozenset({"Protein"})))
    entities = read(tmp_path / "entities", block.entities)
    documents = read(tmp_path / "documents", block.documents)
    counted = Counter(row["doc_id"] for row in entities)
    assert [row["n_entities"] for row in documents] == [counted[row["doc_id"]] for row in documents]
    assert documents[-1]["n_entities"] == 0
    assert block.left_out
    assert block.labels + block.left_out == every.labels
    assert block.with_id.total() == sum(row["concept_id"] is not None for row in entities) > 0


def test_positions_of_a_block(tmp_path: Path):
    rows = [
        numbered_document(number) | {"shard_number": shard, "part": part, "position": position}
        for number, (shard, part, position) in enumerate([(1, 0, 20), (1, 0, 10), (1, 1, 5), (2, 0, 7)])
    ]
    assert written(tmp_path, *rows, end_of(2)).positions == {(1, 0): 20, (1, 1): 5, (2, 0): 7}


def test_failures_reach_the_driver(tmp_path: Path):
    block = prepared(numbered_document(1))
    (row,) = write_blocks(block, task(tmp_path)).to_pylist()
    assert f"does not reach the output {tmp_path}" in pickle.loads(row["written"])  # no run has its lease there
    assert list(tmp_path.iterdir()) == []
    for output in (tmp_path, tmp_path / "full"):
        (output / LEASE_FOLDER).mkdir(parents=True)
    (row,) = write_blocks(block, task(tmp_path)).to_pylist()
    told = pickle.loads(row["written"])
    assert isinstance(told, WrittenBlock)
    assert [row["doc_id"] for row in read(tmp_path / "documents", told.documents)] == ["PMID:000001"]
    (tmp_path / "full" / "documents").write_text("Where a folder should be, a file is in the way.")
    (row,) = write_blocks(block, task(tmp_path / "full")).to_pylist()
    assert "a part of the path is a file" in pickle.loads(row["written"])
    nothing = write_blocks(block.slice(0, 0), task(tmp_path))
    assert (nothing.num_rows, nothing.schema) == (0, write_blocks(block, task(tmp_path)).schema)


def test_rows_of_documents_are_those_of_the_table(tmp_path: Path):
    (file,) = written(tmp_path, numbered_document(1)).documents
    assert pq.ParquetFile(tmp_path / "documents" / file.path).schema_arrow == DOCUMENTS
    assert (file.rows, file.first_id, file.last_id) == (1, "PMID:000001", "PMID:000001")
