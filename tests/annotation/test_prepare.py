"""From a shard's bytes to columns: the account, what is left out, what is rejected, determinism."""

import gzip
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.annotation import prepare as module
from craft_ray.annotation.plan import Attempt
from craft_ray.annotation.prepare import Preprocessor, ReadTask, prepare_group
from craft_ray.annotation.rows import FAILURE, SHARD_END, TOKENIZED
from craft_ray.core.errors import StorageError
from craft_ray.core.logs import configure_logging, log
from craft_ray.core.schema import document_of
from craft_ray.core.settings import S3Settings
from craft_ray.model import tokens
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.windows import Windower
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.identity import IdHasher
from craft_ray.tables.ledger import Ledger, entries
from tests.support.failing_file import FailingFile
from tests.support.hostile.making import header, pubmed, tar
from tests.support.models import CHECKPOINT
from tests.support.outputs import STORAGE
from tests.support.pubmed import citation
from tests.support.scripted_store import scripted_store

EMPTY = Ledger.of(entries([], [], [], []))


SHARD = Shard("x.jsonl", 0, number=3)


def task(ledger: Ledger = EMPTY, **more: Any) -> ReadTask:
    return ReadTask.of(CHECKPOINT, ledger=ledger, **more)


def prepared(content: bytes, shard: Shard = SHARD, **more: Any) -> pa.Table:
    """All rows of a shard. more: for the task"""
    return pa.concat_tables(Preprocessor(task(**more)).prepare(io.BytesIO(content), shard))


def account_of(content: bytes, shard: Shard = SHARD, **more: Any) -> dict:
    return account(prepared(content, shard, **more))


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


@pytest.mark.parametrize("model", sorted(SHIPPED))
def test_units_are_those_of_the_tagger(model: str):
    """Also for a model that labels the pieces of a word."""
    checkpoint, text = load_checkpoint(model), "Isl1Cre mice"
    preparer = Preprocessor(ReadTask.of(checkpoint))
    (table,) = preparer.prepare(io.BytesIO(lines({"id": 7, "text": text})), Shard("x.jsonl", 0))
    expected = tokens.tokenize([document_of("7", text)], Windower.of(checkpoint))
    assert {name: table[name][0] for name in expected} == {name: column[0] for name, column in expected.items()}


def test_titles_alone_are_counted():
    content = lines({"pmid": 1, "title": "Pax6"}, {"pmid": 2, "title": "Mice", "abstract": "They see."}, {"pmid": 3})
    assert account(prepared(content))["titles_alone"] == 1


@pytest.mark.parametrize(
    ("title", "version", "shard", "deleted", "model", "counted"),
    [
        ("Mice", 2, 3, False, "model", "unchanged"),
        ("Mice", 2, 1, False, "model", "unchanged"),
        ("Mice", 2, 3, False, "another model", "emitted"),
        ("Rats", 2, 1, False, "model", "emitted"),
        ("Rats", 1, 4, False, "model", "emitted"),
        ("Rats", 3, 1, False, "model", "superseded"),
        ("Rats", 2, 4, False, "model", "superseded"),
        ("Rats", 1, 1, True, "model", "superseded"),
    ],
)
def test_counts_by_existing_revision(title: str, version: int, shard: int, deleted: bool, model: str, counted: str):
    n1 = replace(SHARD, name="n1.xml")
    of_model = Preprocessor(replace(task(), checkpoint=replace(CHECKPOINT, fingerprint=model)))
    before = pa.concat_tables(of_model.prepare(io.BytesIO(pubmed(citation(7, title, version))), n1))
    id, key = (before[name][:1].to_numpy() for name in ("id_hash", "key"))
    ledger = Ledger.of(entries(id, key, [identity.revision(version, shard, False)], [deleted]))
    of_shard = account_of(pubmed(citation(7, "Mice", 2)), n1, ledger=ledger)
    assert {name for name in ("emitted", "unchanged", "superseded") if of_shard[name]} == {counted}
    assert (of_shard["found"], of_shard[counted]) == (1, 1)


@pytest.mark.parametrize(
    ("read", "goes_on"),
    [([3], False), ([1, 3], False), ([3, 4], False), ([2, 3], True), ([1, 2, 3, 4], True)],
)
def test_duplicates_that_need_a_second_look(read: list[int], goes_on: bool):
    content = lines({"id": "a", "text": "Pax6"})
    first = prepared(content)
    revision = identity.revision(1, 1, False)  # of the first shard
    ledger = Ledger.of(entries(first["id_hash"][:1].to_numpy(), first["key"][:1].to_numpy(), [revision], [False]))
    table = prepared(content, ledger=ledger, shard_numbers=np.array(read))
    assert table["status"].to_pylist() == [*(["duplicate"] if goes_on else []), SHARD_END]
    assert table["text"].null_count == table.num_rows
    of_shard = account(table)
    assert (of_shard["emitted"], of_shard["unchanged"]) == ((1, 0) if goes_on else (0, 1))
    assert of_shard["duplicates"] == ([] if goes_on else first["id_hash"].to_pylist()[:1])


def test_a_broken_shard_and_its_retraction():
    shard = replace(SHARD, name="x.parquet")
    table = prepared(b"PAR1" + bytes(50), shard)
    assert table["doc_id"].to_pylist() == ["x.parquet#unreadable", "x.parquet"]
    assert table["status"].to_pylist() == ["rejected", SHARD_END]
    assert account(table)["reason"] == "bad_record"
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": ["a"], "text": ["Pax6"]}), sink)
    rejected = ["x.parquet#unreadable", "x.parquet#2"]
    ledger = Ledger.of(entries(IdHasher().hashes(rejected), [1, 2], [3, 3], [False, False]))
    again = prepared(sink.getvalue(), shard, ledger=ledger, rejected={shard.name: rejected})
    assert again["status"].to_pylist() == ["annotated", "retracted", "retracted", SHARD_END]
    ledger.update(entries(IdHasher().hashes(rejected[:1]), [0], [9], [True]))
    again = prepared(sink.getvalue(), shard, ledger=ledger, rejected={shard.name: rejected})
    assert again["doc_id"].to_pylist() == ["a", "x.parquet#2", "x.parquet"]


def test_a_limit_retracts_nothing():
    ledger = Ledger.of(entries(IdHasher().hashes(["x.jsonl#3"]), [1], [3], [False]))
    of_shard = account_of(lines({"id": "a"}, {"id": "b"}), ledger=ledger, rejected={"x.jsonl": ["x.jsonl#3"]}, limit=1)
    assert (of_shard["found"], of_shard["emitted"]) == (1, 1)


def test_a_list_among_the_inputs_deletes_pmids_alone():
    shard = replace(SHARD, name="deleted.pmids")
    found = prepared(b"7\nnotes/a.txt\n", shard)
    assert found["status"].to_pylist() == ["deleted", "rejected", SHARD_END]
    assert found["doc_id"].to_pylist()[:2] == ["PMID:7", "deleted.pmids#2"]
    table = prepared(b"7\nnotes/a.txt\n", replace(shard, format="deletions"))
    assert table["doc_id"].to_pylist()[:2] == ["PMID:7", "notes/a.txt"]


MANY = lines(*({"id": str(number), "text": "mice"} for number in range(10_000)))


def test_documents_before_damage_are_kept():
    file = FailingFile(MANY, 100_000, PermissionError("taken away"))
    stream = io.BufferedReader(file, 8192)
    table = pa.concat_tables(Preprocessor(task()).prepare(stream, SHARD))
    *documents, mark, end = table["doc_id"].to_pylist()
    assert documents == [str(number) for number in range(file.getvalue()[: file.tell()].count(b"\n"))]
    assert (mark, end) == ("x.jsonl#unreadable", "x.jsonl")
    of_shard = account(table)
    assert (of_shard["found"], of_shard["reason"]) == (len(documents) + 1, "unreadable")
    assert "taken away" in of_shard["detail"]


def test_an_error_of_the_reader_is_permanent():
    """Long names that refer to long names recurse in `tarfile`; storage has nothing to do with it."""
    long_name = header("././@LongLink", tarfile.GNUTYPE_LONGNAME, 5) + b"name\0".ljust(512, b"\0")
    of_shard = account_of(2000 * long_name + tar(("a.txt", b"mice")), replace(SHARD, name="x.tar"))
    assert (of_shard["reason"], of_shard["found"]) == ("reader_error", 1)
    assert of_shard["detail"].startswith("RecursionError")


def test_storage_errors_are_raised():
    stream = io.BufferedReader(FailingFile(MANY, 100_000, StorageError("storage failed")), 8192)
    with pytest.raises(StorageError, match="storage failed"):
        list(Preprocessor(task()).prepare(stream, SHARD))


@pytest.mark.parametrize("size", [1, 9 << 20])
def test_a_file_that_cannot_be_read_of_a_store_that_answers(size: int):
    shards = [Shard("s3://bucket/a.txt", size, number=0)]
    with scripted_store(503, "SlowDown", but_head=True) as endpoint:
        settings = S3Settings(endpoint_url=endpoint, anonymous=True, region="us-east-1")
        (table,) = prepare_group(shards, Storage(settings, patience=0.5), task(), Attempt.FIRST)
    assert table["status"].to_pylist() == ["rejected", SHARD_END]
    assert table["reason"].to_pylist()[0] == "unreadable"


def test_mended_lines_are_retracted():
    good = lines({"id": "a", "text": "mice"})
    first = prepared(good + b"{broken\n{broken\n")
    rejected = ["x.jsonl#2", "x.jsonl#3"]
    assert first["doc_id"].to_pylist() == ["a", *rejected, "x.jsonl"]
    id, key = (first[name][:3].to_numpy() for name in ("id_hash", "key"))
    revisions = [identity.revision(version, 3, version == 0) for version in (1, 0, 0)]
    ledger = Ledger.of(entries(id, key, revisions, [False] * 3))
    again = prepared(good + b"{broken\n{broken\n", ledger=ledger, rejected={SHARD.name: rejected})
    assert again["status"].to_pylist() == [SHARD_END]
    one_mended = good + b"{broken\n" + lines({"id": "b", "text": "rats"})
    mended = prepared(one_mended, ledger=ledger, rejected={SHARD.name: rejected})
    assert mended["doc_id"].to_pylist() == ["b", "x.jsonl#3", "x.jsonl"]
    assert mended["status"].to_pylist() == ["annotated", "retracted", SHARD_END]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_positions_grow_while_a_file_is_read(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_CHARACTERS", 100_000)
    random = Random(0)
    content = lines(*({"id": str(n), "text": "mice", "note": random.randbytes(500).hex()} for n in range(1000)))
    given = gzip.compress(content, 1, mtime=0) if name.endswith(".gz") else content
    read: list[int] = []
    for table in Preprocessor(task()).prepare(io.BytesIO(given), Shard(name, 0, number=3)):
        read += table["position"].drop_null().unique().to_pylist()
    assert len(read) > 3
    assert read == sorted(read)
    assert 0 < read[0] < read[-1] <= len(given)


@pytest.fixture
def group(tmp_path: Path) -> list[Shard]:
    """Two files of two documents each, and between them one that does not exist."""
    for name in "ac":
        (tmp_path / f"{name}.jsonl").write_bytes(lines(*({"id": f"{name}{n}", "text": "mice"} for n in range(2))))
    return [Shard(str(tmp_path / f"{name}.jsonl"), 0, number=number) for number, name in enumerate("abc")]


def outcomes(table: pa.Table) -> list[tuple[str, str | None]]:
    """Of each row, the last part of its id, and why it was rejected; of what closes a shard, its status."""
    reasons = [
        row["reason"] if row["status"] != SHARD_END else SHARD_END
        for row in table.select(["reason", "status"]).to_pylist()
    ]
    return list(zip((doc_id.rpartition("/")[2] for doc_id in table["doc_id"].to_pylist()), reasons, strict=True))


def test_an_unreadable_shard_does_not_stop_its_group(group: list[Shard]):
    tables = list(prepare_group(group, STORAGE, task(), Attempt.FIRST))
    assert [outcomes(table) for table in tables] == [
        [("a0", None), ("a1", None), ("a.jsonl", SHARD_END)],
        [("b.jsonl#unreadable", "unreadable"), ("b.jsonl", SHARD_END)],
        [("c0", None), ("c1", None), ("c.jsonl", SHARD_END)],
    ]


def test_isolation_makes_one_block_per_document(group: list[Shard]):
    tables = list(prepare_group(group[:1], STORAGE, task(), Attempt.ISOLATE))
    assert [outcomes(table) for table in tables] == [[("a0", None)], [("a1", None)], [("a.jsonl", SHARD_END)]]


def test_the_last_attempt_rejects(group: list[Shard]):
    tables = prepare_group([group[0], group[2]], STORAGE, task(never_closed=frozenset([2])), Attempt.REJECT)
    assert outcomes(pa.concat_tables(tables)) == [
        ("a0", "failed"),
        ("a1", "failed"),
        ("a.jsonl", SHARD_END),
        ("c.jsonl#unreadable", "failed"),
        ("c.jsonl", SHARD_END),
    ]


def test_an_error_of_the_task_is_a_failure_row(group: list[Shard]):
    without = replace(task(), checkpoint=replace(CHECKPOINT, tokenizer="no tokenizer"))
    *_, last = prepare_group(group, STORAGE, without, Attempt.FIRST)
    assert last["status"].to_pylist() == [FAILURE]
    assert "expected" in last["detail"][0].as_py()


def test_log_fields_of_a_reader(group: list[Shard], capsys: pytest.CaptureFixture[str]):
    configure_logging("json")
    for _ in prepare_group(group, STORAGE, task(run_id="r1"), Attempt.FIRST):
        log.warning("storage failed, trying again")
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["run_id"], line["shard"]) for line in logged] == [("r1", shard.name) for shard in group]


def test_a_tokenizer_that_always_fails_is_named(group: list[Shard], monkeypatch: pytest.MonkeyPatch):
    def failing(*_: object) -> None:
        raise ValueError("the tokenizer is damaged")

    monkeypatch.setattr(module, "tokenize", failing)
    *_, last = prepare_group(group, STORAGE, task(), Attempt.FIRST)
    assert last["status"].to_pylist() == [FAILURE]
    assert "the tokenizer is damaged" in last["detail"][0].as_py()


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
    assert table["n_tokens"].to_pylist()[1] > 0


def test_preparing_twice_gives_the_same_bytes():
    """Ray matches the blocks of a task that it runs again by their index."""
    content = lines(*({"id": str(i), "text": f"Pax{i} in mice. Again."} for i in range(50)))
    assert prepared(content).equals(prepared(content))
    assert prepared(content).schema == TOKENIZED
