"""An archive that several tasks read leaves the tables that one task leaves."""

import gzip
import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from craft_ray.annotation.account import Account
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.counts import ShardAccount, changes, merge_parts
from craft_ray.annotation.plan import MAX_PARTS, MIN_PART_BYTES, Attempt, group_shards
from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.annotation.replica import predict_block
from craft_ray.annotation.rows import SHARD_END
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.core.settings import Settings
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import Model, prepare_model
from craft_ray.storage.shards import Shard
from craft_ray.tables.identity import IdHasher
from craft_ray.tables.ledger import Ledger, Outcome, entries
from craft_ray.tables.writer import Tables
from tests.annotation.test_order import CHECKPOINT, prepared_part, pubmed, run
from tests.support.failing_file import FailingFile
from tests.support.hostile.making import line, tar
from tests.support.outputs import STORAGE, assert_consistent, document_rows, entity_rows


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(prepare_model(CHECKPOINT, "cpu"))


def files(*numbers: int, text: str = "A mouse") -> list[tuple[str, bytes]]:
    return [(f"{number}.xml", pubmed({number: (1, f"{text} {number}")})) for number in numbers]


def read(
    content: bytes, part: int, parts: int, rejected: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], ShardAccount]:
    """The rows of a part, without how far it had come, and its account, where the tables hold some rejected ones."""
    some = [0] * len(rejected)
    ledger = Ledger.of(entries(IdHasher().hashes(rejected), some, some, some))
    task = ReadTask.of(CHECKPOINT, ledger=ledger, rejected={"x.tar": rejected})
    tables = Preprocessor(task).prepare(io.BytesIO(content), Shard("x.tar", 0, number=3, part=part, parts=parts))
    *rows, end = pa.concat_tables(tables).drop_columns(["part", "position"]).to_pylist()
    assert end["status"] == SHARD_END
    return rows, ShardAccount(**json.loads(end["detail"]))


def test_one_part_reports_damage_and_retracts_it():
    content = gzip.compress(tar(*files(*range(12))), mtime=0)
    broken = [row["doc_id"] for part in range(4) for row in read(content[:-40], part, 4)[0] if row["reason"]]
    assert broken == ["x.tar#unreadable"]
    rejected = ["x.tar#unreadable", "x.tar!3.xml#unreadable", "x.tar!7.xml#item-7.0", "x.tar!gone.xml#2"]
    for parts in (1, 2, 3, 4):
        rows = [row for part in range(parts) for row in read(content, part, parts, rejected)[0]]
        assert sorted(row["doc_id"] for row in rows if row["status"] == "retracted") == sorted(rejected)


def test_a_transient_failure_of_a_part_leaves_no_mark():
    content = tar(*files(*range(12)))
    task = ReadTask.of(CHECKPOINT)
    stream = io.BufferedReader(FailingFile(content, 2000, PermissionError("taken away")), 2000)
    *rows, end = pa.concat_tables(Preprocessor(task).prepare(stream, Shard("x.tar", 0, number=3, parts=2))).to_pylist()
    failed = ShardAccount(**json.loads(end["detail"]))
    assert failed.reason == "unreadable"
    assert not [row for row in rows if row["status"] == "rejected"]
    other = read(content, 1, 2)[1]
    assert merge_parts([failed, other]) is None


def test_an_archive_closes_with_its_last_part():
    arrivals = Arrivals([Shard("x.tar", 1001, number=3)])
    content = tar(*files(*range(12)))
    for part, done in ((2, 333), (0, 668), (0, 668), (1, 1001)):
        assert arrivals.missing()
        arrivals.close_part(read(content, part, 3)[1])
        assert arrivals.bytes_done == done
    assert arrivals.found == 12
    arrivals.count(np.full(12, 3), changes(np.full(12, Outcome.NEW), np.full(12, False)))
    ((_, account),) = arrivals.take_finished()
    assert (account.found, account.emitted, list(arrivals.missing())) == (12, 12, [])


def die_after_a_part(output: Path, model: Model, content: bytes, part: int, parts: int) -> None:
    """A run that has committed one part when it dies."""
    tables = Tables(STORAGE, str(output), "20260101T000000-00000000")
    account = Account(Arrivals([Shard("x.tar", len(content), number=0)]))
    commits = Commits(tables, Ledger(), account, "20260101T000000-00000000", "", 1.0)
    task = ReadTask.of(CHECKPOINT, ids=tables.ids)
    write = WriteTask(STORAGE, str(output), "20260101T000000-00000000", Decoder.of(CHECKPOINT))
    for rows in prepared_part(Preprocessor(task), content, account.shards[0], part, parts):
        commits.add(write_block(predict_block(rows, model), write))
    commits.commit(all=True)


@pytest.mark.parametrize("parts", [2, 3, 4])
@pytest.mark.parametrize("died", [None, 0, 1])
def test_files_of_an_archive_that_share_an_id(model: Model, tmp_path: Path, parts: int, died: int | None):
    """The first in the archive stays, whichever part came first, and also after a run that died in between."""
    twice = [*files(*range(6)), *((f"again/{n}.xml", pubmed({n: (1, f"A rat {n}")})) for n in (4, 1)), *files(7, 8)]
    content = {"x.tar": tar(*twice, ("broken.jsonl", b"{\n" + line("good")))}
    one = run(tmp_path / "one", model, content, "1", random.Random(parts))
    if died is not None:
        die_after_a_part(tmp_path / "several", model, content["x.tar"], died, parts)
    several = run(tmp_path / "several", model, content, "1", random.Random(parts), parts)
    assert several.found == one.found == several.committed.documents + several.unchanged
    assert several.arrivals.superseded == 0
    assert (several.unchanged > 0) == (died is not None)
    for output in ("one", "several"):
        assert_consistent(tmp_path / output)
    assert document_rows(tmp_path / "several") == document_rows(tmp_path / "one")
    assert entity_rows(tmp_path / "several") == entity_rows(tmp_path / "one")
    rejected = [row["doc_id"] for row in document_rows(tmp_path / "several") if row["reason"] == "duplicate_id"]
    assert rejected == ["x.tar!again/1.xml#item-7.0", "x.tar!again/4.xml#item-6.0"]
    again = run(tmp_path / "several", model, content, "2", random.Random(parts), parts)
    assert (again.committed.documents, again.unchanged) == (0, one.found)
    assert document_rows(tmp_path / "several") == document_rows(tmp_path / "one")


def test_only_large_archives_are_split():
    plan = make_plan(Settings(), [{"CPU": 4}])
    size = 10 * MIN_PART_BYTES
    shards = [
        Shard("in/a.tar.gz", size, number=0),
        Shard("in/b.xml.gz", size, number=1),
        Shard("in/c.tar", 9, number=2),
    ]

    def tasks(attempt: Attempt = Attempt.FIRST, unsplittable: Sequence[int] = ()) -> list[list[tuple[str, int, int]]]:
        groups = group_shards(shards, plan, attempt, unsplittable)
        return [[(shard.name[3], shard.part, shard.parts) for shard in group] for group in groups]

    assert tasks() == [[("a", 0, 2)], [("a", 1, 2)], [("b", 0, 1)], [("c", 0, 1)]]
    assert tasks(Attempt.RETRY) == tasks()
    for whole in (tasks(unsplittable=[0]), tasks(Attempt.ISOLATE), tasks(Attempt.REJECT)):
        assert whole == [[("a", 0, 1)], [("b", 0, 1)], [("c", 0, 1)]]


@pytest.mark.parametrize(
    ("cores", "sizes", "parts"),
    [
        (2, [10 * MIN_PART_BYTES], [2]),
        (8, [10 * MIN_PART_BYTES], [8]),
        (8, [3 * MIN_PART_BYTES], [3]),
        (1000, [100 * MIN_PART_BYTES], [MAX_PARTS]),
        (4, [10 * MIN_PART_BYTES] * 2, [2, 2]),
        (4, [10 * MIN_PART_BYTES] * 8, [1] * 8),
        (1, [10 * MIN_PART_BYTES], [1]),
    ],
)
def test_parts_by_cores_and_bytes(cores: int, sizes: list[int], parts: list[int]):
    plan = make_plan(Settings(), [{"CPU": cores}])
    shards = [Shard(f"{number}.tar.gz", size, number=number) for number, size in enumerate(sizes)]
    groups = list(group_shards(shards, plan, Attempt.FIRST))
    assert [max(s.parts for (s,) in groups if s.number == number) for number in range(len(sizes))] == parts
    assert [(s.number, s.part) for (s,) in groups] == [
        (n, part) for n, count in enumerate(parts) for part in range(count)
    ]


def test_large_files_come_first():
    plan = make_plan(Settings(), [{"CPU": 1}])
    sizes = {"a.jsonl": 10, "b.xml.gz": 30 << 20, "c.jsonl": 10, "d.xml.gz": 40 << 20}
    shards = [Shard(name, size, number=number) for number, (name, size) in enumerate(sizes.items())]
    groups = [[shard.name for shard in group] for group in group_shards(shards, plan, Attempt.FIRST)]
    assert groups == [["d.xml.gz"], ["b.xml.gz"], ["a.jsonl", "c.jsonl"]]
