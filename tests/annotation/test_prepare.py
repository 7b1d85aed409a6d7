"""From a shard's bytes to columns: the account, what is left out, what is rejected, determinism."""

import gzip
import io
import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.annotation import prepare as module
from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.rows import SHARD_END, TOKENIZED
from craft_ray.model import tokens
from craft_ray.storage.shards import Shard
from craft_ray.tables import identity
from craft_ray.tables.ledger import Ledger, entries
from tests.support.models import TOKENIZER

EMPTY = Ledger.of(entries([], [], [], []))


def task(ledger: Ledger = EMPTY, **more: Any) -> ReadTask:
    return ReadTask(TOKENIZER.to_str(), 510, 0, "model", ledger, **more)


def prepared(content: bytes, ledger: Ledger = EMPTY, name: str = "x.jsonl", rejected: Sequence[str] = ()) -> pa.Table:
    preparer = Preprocessor(task(ledger, rejected={name: rejected}))
    return pa.concat_tables(preparer.prepare(io.BytesIO(content), Shard(name, 0, number=3)))


def lines(*records: dict) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def account(table: pa.Table) -> dict:
    assert table["status"].to_pylist().count(SHARD_END) == 1
    assert table["status"][-1].as_py() == SHARD_END
    return json.loads(table["detail"][-1].as_py())


def test_a_shard_is_accounted_for():
    content = lines({"id": "a", "text": "Pax6"}, {"id": "a", "text": "again"}, {"id": "b"}, {"id": "c", "text": ""})
    table = prepared(content)
    assert table["status"].to_pylist() == ["annotated", "rejected", "rejected", "rejected", SHARD_END]
    assert table["reason"].to_pylist()[:4] == [None, "duplicate_id", "bad_record", "empty_text"]
    assert account(table)["found"] == account(table)["emitted"] == 4


def test_documents_with_a_title_alone_are_counted():
    content = lines({"pmid": 1, "title": "Pax6"}, {"pmid": 2, "title": "Mice", "abstract": "They see."}, {"pmid": 3})
    assert account(prepared(content))["titles_alone"] == 1


def test_what_the_ledger_holds_is_left_out():
    content = lines({"id": "a", "text": "Pax6"}, {"id": "b", "text": "mice"})
    first = prepared(content)
    held = Ledger.of(entries(first["id_hash"][:1].to_numpy(), first["key"][:1].to_numpy(), [1 << 33], [False]))
    second = prepared(content, held)
    assert second["doc_id"].to_pylist()[:-1] == ["b"]
    assert account(second) | {"unchanged": 1, "emitted": 1, "found": 2} == account(second)


def test_a_broken_shard_leaves_a_mark_that_a_later_reading_takes_back():
    broken = b"PAR1" + bytes(50)
    table = prepared(broken, name="x.parquet")
    assert table["doc_id"].to_pylist() == ["x.parquet#unreadable", "x.parquet"]
    assert table["status"].to_pylist() == ["rejected", SHARD_END]
    assert account(table)["reason"] == "bad_record"
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"], "text": ["Pax6"]}), sink)
    rejected = ["x.parquet#unreadable", "x.parquet#2"]
    held = Ledger.of(entries(identity.id_hashes(rejected), [1, 2], [3, 3], [False, False]))
    again = prepared(sink.getvalue(), held, name="x.parquet", rejected=rejected)
    assert again["status"].to_pylist() == ["annotated", "retracted", "retracted", SHARD_END]
    held.update(entries(identity.id_hashes(rejected[:1]), [0], [9], [True]))
    again = prepared(sink.getvalue(), held, name="x.parquet", rejected=rejected)
    assert again["doc_id"].to_pylist() == ["a", "x.parquet#2", "x.parquet"]


def test_documents_go_alone_where_one_of_them_is_suspected_and_are_rejected_where_none_came_through():
    content = lines(*({"id": name, "text": "Pax6"} for name in "abc"))
    alone = Preprocessor(task(), rows_at_once=1)
    tables = list(alone.prepare(io.BytesIO(content), Shard("x.jsonl", 0, number=3)))
    assert [table["doc_id"].to_pylist() for table in tables] == [["a"], ["b"], ["c"], ["x.jsonl"]]
    refusing = Preprocessor(task(), refusal="its process died each time")
    (table,) = refusing.prepare(io.BytesIO(content), Shard("x.jsonl", 0, number=3))
    assert table["status"].to_pylist() == ["rejected"] * 3 + [SHARD_END]
    assert set(table["reason"].to_pylist()[:3]) == {"failed"}


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_rows_tell_how_far_into_its_file_reading_has_come(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BATCH", 100_000)
    random = Random(0)
    content = lines(*({"id": str(n), "text": "mice", "note": random.randbytes(500).hex()} for n in range(1000)))
    given = gzip.compress(content, 1, mtime=0) if name.endswith(".gz") else content
    read: list[int] = []
    for table in Preprocessor(task()).prepare(io.BytesIO(given), Shard(name, 0, number=3)):
        read += table["position"].drop_null().unique().to_pylist()
    assert len(read) > 3
    assert read == sorted(read)
    assert 0 < read[0] < read[-1] <= len(given)


def test_a_lone_surrogate_is_rejected_and_its_neighbours_come_through():
    table = prepared(
        b'{"id": "a", "text": "x \\ud800 y"}\n{"id": "b", "text": "mice"}\n{"id": "\\udfff", "text": "z"}\n'
    )
    assert table["reason"].to_pylist()[:3] == ["bad_encoding", None, "bad_encoding"]
    assert table["status"].to_pylist()[1] == "annotated"


def test_a_document_that_fails_is_rejected_alone(monkeypatch):
    split = tokens.sentence_spans

    def failing(text, start, end):
        if "poison" in text:
            raise RuntimeError("cannot split this")
        return split(text, start, end)

    monkeypatch.setattr(tokens, "sentence_spans", failing)
    table = prepared(lines({"id": "a", "text": "poison"}, {"id": "b", "text": "mice"}))
    assert table["status"].to_pylist()[:2] == ["rejected", "annotated"]
    assert table["reason"][0].as_py() == "failed"
    assert "cannot split this" in table["detail"][0].as_py()


def test_preparing_twice_gives_the_same_bytes():
    """Ray matches the blocks of a task that it runs again by their index."""
    content = lines(*({"id": str(i), "text": f"Pax{i} in mice. Again."} for i in range(50)))
    assert prepared(content).equals(prepared(content))
    assert prepared(content).schema == TOKENIZED
