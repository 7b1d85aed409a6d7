"""The commit protocol on disk: pairs of commits, replaced rows, recovery, and no files left behind."""

import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.tables import delta, writer
from craft_ray.tables.delta import NumberedTable
from craft_ray.tables.ledger import Outcome
from craft_ray.tables.numbers import next_number
from craft_ray.tables.writer import Tables, latest_per_shard
from tests.support.outputs import STORAGE, all_of, append, assert_only_the_snapshot, block, finished, rows

EARLIER, LATER = "20260101T000000-00000000", "20260102T000000-00000000"


def test_deletion_leaves_a_deleted_row(tables: Tables, tmp_path: Path):
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"))])
    gone = block(tmp_path, ("a", ""), ("z", ""), status="deleted", shard=1)
    tables.replace([gone], [all_of(gone)])
    assert rows(tmp_path, "entities") == [("b", "rat", "Taxon")]
    assert rows(tmp_path, "documents") == [("a", "deleted", 0), ("b", "annotated", 1), ("z", "deleted", 0)]


@pytest.mark.parametrize("way", ["append", "replace", "remove"])
def test_half_of_a_pair_is_rolled_back(tables: Tables, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch):
    """The driver is killed as it commits to the second table."""
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"))])
    new = block(tmp_path, *([] if way == "append" else [("a", "human")]), ("c", "fly"), shard=1)
    change = {
        "append": lambda tables: tables.append([new]),
        "replace": lambda tables: tables.replace([new], [all_of(new)]),
        "remove": lambda tables: tables.remove(pa.array(["a"])),
    }[way]

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    before = rows(tmp_path, "entities"), rows(tmp_path, "documents")
    monkeypatch.setattr(tables.documents, "commit_files", killed)
    with pytest.raises(KeyboardInterrupt):
        change(tables)
    assert rows(tmp_path, "entities") != before[0]
    assert rows(tmp_path, "documents") == before[1]

    again = Tables(STORAGE, str(tmp_path))
    assert (rows(tmp_path, "entities"), rows(tmp_path, "documents")) == before
    change(again)
    after = {"append": {"a": "mouse", "b": "rat", "c": "fly"}, "replace": {"a": "human", "b": "rat", "c": "fly"}}
    expected = after.get(way, {"b": "rat"})
    assert rows(tmp_path, "entities") == [(name, mention, "Taxon") for name, mention in expected.items()]
    assert rows(tmp_path, "documents") == [(name, "annotated", 1) for name in expected]


def test_recovery_continues_after_a_dead_one(tables: Tables, tmp_path: Path):
    tables.append([block(tmp_path, ("a", "mouse"))])
    tables.entities.commit_files(block(tmp_path, ("b", "rat")).entities, next_number(tables.documents.pair))
    NumberedTable(STORAGE, str(tmp_path), "documents", DOCUMENTS).fence()
    NumberedTable(STORAGE, str(tmp_path), "entities", ENTITIES).fence()
    Tables(STORAGE, str(tmp_path))
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon")]


@pytest.mark.parametrize(("fences", "whole"), [(0, True), (1, False), (2, False), (3, False)])
def test_second_half_during_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fences: int, whole: bool):
    """A driver that stalls between its two commits may wake up at any step of the next run's recovery, or after it."""
    stalled = Tables(STORAGE, str(tmp_path))
    late = block(tmp_path, ("late", "mouse"))
    pair = next_number(stalled.documents.pair)
    stalled.entities.commit_files(late.entities, pair)
    fence, made = NumberedTable.fence, []

    def wake_up() -> None:
        with nullcontext() if whole else pytest.raises(RunError, match="another run has taken over"):
            stalled.documents.commit_files(late.documents, pair)

    def fenced(table: NumberedTable) -> None:
        if len(made) == fences:
            wake_up()
        made.append(table.path)
        fence(table)

    monkeypatch.setattr(NumberedTable, "fence", fenced)
    Tables(STORAGE, str(tmp_path))
    if len(made) == fences:
        wake_up()
    assert rows(tmp_path, "entities") == [("late", "mouse", "Taxon")] * whole
    assert rows(tmp_path, "documents") == [("late", "annotated", 1)] * whole


def test_a_run_that_is_overtaken_while_it_opens(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A pair that another run commits between its fences is no half of one."""
    tables.append([block(tmp_path, ("a", "mouse"))])
    fence = NumberedTable.fence

    def fenced(table: NumberedTable) -> None:
        if table.path.endswith("entities"):
            monkeypatch.undo()
            Tables(STORAGE, str(tmp_path)).append([block(tmp_path, ("b", "rat"), shard=1)])
        fence(table)

    monkeypatch.setattr(NumberedTable, "fence", fenced)
    with pytest.raises(RunError, match="another run has taken over"):
        Tables(STORAGE, str(tmp_path))
    Tables(STORAGE, str(tmp_path))
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon"), ("b", "rat", "Taxon")]


def test_tables_out_of_step_are_refused(tables: Tables, tmp_path: Path):
    tables.append([block(tmp_path, ("a", "mouse"))])
    shutil.rmtree(tmp_path / "entities")
    with pytest.raises(SettingsError, match="out of step"):
        Tables(STORAGE, str(tmp_path))


def test_finish_leaves_exactly_the_snapshot(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path), EARLIER)
    for i in range(5):
        tables.append([block(tmp_path, (f"a{i}", "mouse"), run_id=EARLIER)])
    block(tmp_path, ("orphan", "staged and never committed"), run_id=EARLIER)
    new = block(tmp_path, ("a1", "human"), shard=1, run_id=EARLIER)
    tables.replace([new], [all_of(new)])
    tables.finish(compact=True)
    assert_only_the_snapshot(tmp_path, files=1)
    assert len(rows(tmp_path, "documents")) == 5


def test_finish_keeps_logs_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(delta, "CHECKPOINT_AFTER", 10)
    monkeypatch.setattr(delta, "CHECKPOINT_AFTER_PARTITIONED", 10)
    for night in range(10, 21):
        tables = Tables(STORAGE, str(tmp_path), f"202601{night}T000000-00000000")
        tables.append([block(tmp_path, (f"{night}", "mouse"))])
        tables.finish(compact=True)
        for folder in tmp_path.glob("*/_delta_log"):
            for path in folder.iterdir():
                os.utime(path, (path.stat().st_mtime - 10 * 86_400,) * 2)
    for name in ("entities", "documents", "shards"):
        log = tmp_path / name / "_delta_log"
        checkpoint = json.loads((log / "_last_checkpoint").read_text())["version"]
        versions = sorted(int(path.stem) for path in log.glob("*.json"))
        assert versions[-1] - checkpoint < 10
        assert versions[-1] - checkpoint == 1 or name != "shards", "the last night was too early for the next"
        assert versions[0] > 0 or name == "shards", "what is older than 30 days goes"
    assert [name for name, *_ in rows(tmp_path, "entities")] == [f"{night}" for night in range(10, 21)]
    Tables(STORAGE, str(tmp_path)).append([block(tmp_path, ("21", "rat"))])
    assert len(rows(tmp_path, "documents")) == 12
    before = Tables(STORAGE, str(tmp_path)).versions()
    tables = Tables(STORAGE, str(tmp_path))
    tables.finish(compact=False)
    assert tables.versions() == {name: version + 1 for name, version in before.items()}, "a fence each, and no more"


def test_last_row_of_a_shard_counts(tables: Tables, tmp_path: Path):
    tables.record_finished(finished("run1", a=1, b=1))
    tables.record_finished(finished("run2", a=2, c=2))
    for settled in (False, True):
        if settled:
            tables.finish(compact=True)
        finished_shards = tables.finished_shards()
        assert dict(zip(finished_shards["shard"].to_pylist(), finished_shards["found"].to_pylist(), strict=True)) == {
            "a": 2,
            "b": 1,
            "c": 2,
        }
    assert DeltaTable(str(tmp_path / "shards")).to_pyarrow_table().num_rows == 3


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 3)), max_size=12), st.integers(1, 5))
def test_latest_per_shard_in_batches(noted: list[tuple[str, int]], at_once: int):
    noted = list(dict.fromkeys(noted))
    with patch.object(writer, "_BATCH", at_once):
        rows = [finished("none"), *(finished(f"{run}", **{shard: run}) for shard, run in noted)]
        left = latest_per_shard(pa.concat_tables(rows))
    assert sorted(zip(left["shard"].to_pylist(), left["found"].to_pylist(), strict=True)) == sorted(
        {shard: max(run for of, run in noted if of == shard) for shard, _ in noted}.items()
    )


def test_shards_without_documents_are_refused(tables: Tables, tmp_path: Path):
    """Otherwise a run would skip all input as up to date."""
    tables.append([block(tmp_path, ("a", "mouse"))])
    tables.record_finished(finished("run1", a=1))
    for name in ("entities", "documents"):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(SettingsError, match=r"shards .* is ahead of documents"):
        Tables(STORAGE, str(tmp_path))
    shutil.rmtree(tmp_path / "shards")
    for name in ("entities", "documents"):
        shutil.rmtree(tmp_path / name)
    Tables(STORAGE, str(tmp_path))


def test_replace_writes_only_winning_documents(tables: Tables, tmp_path: Path):
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"))])
    first = block(tmp_path, ("a", "human"), ("b", "worm"), shard=1)
    assert tables.replace([first], [np.array([Outcome.REVISED, Outcome.SUPERSEDED])]) == 1
    assert rows(tmp_path, "entities") == [("a", "human", "Taxon"), ("b", "rat", "Taxon")]
    late, last = (block(tmp_path, ("a", text), shard=shard) for text, shard in (("worm", 2), ("fly", 3)))
    assert tables.replace([last, late], [all_of(last), all_of(late)]) == 1
    assert rows(tmp_path, "entities") == [("a", "fly", "Taxon"), ("b", "rat", "Taxon")]
    assert rows(tmp_path, "documents") == [("a", "annotated", 1), ("b", "annotated", 1)]


@pytest.mark.parametrize("has_read", [False, True])
def test_commits_of_an_overtaken_run_fail(tmp_path: Path, has_read: bool):
    """Also if its handles have read the later run's commits, which Delta takes for no conflict."""
    earlier = Tables(STORAGE, str(tmp_path))
    later = Tables(STORAGE, str(tmp_path))
    if has_read:
        for table in earlier.by_name.values():
            table.delta.update_incremental()
    for write in (
        lambda: earlier.append([block(tmp_path, ("b", "rat"))]),
        lambda: earlier.record_finished(finished("run1", a=1)),
    ):
        with pytest.raises(RunError, match="another run has taken over"):
            write()
    later.append([block(tmp_path, ("a", "mouse"))])
    later.append([block(tmp_path, ("c", "fly"))])
    assert rows(tmp_path, "documents") == [("a", "annotated", 1), ("c", "annotated", 1)]


@pytest.mark.parametrize("wakes_at", ["compaction", "replacement", "vacuum"])
def test_a_run_that_wakes_up_after_a_takeover(tmp_path: Path, wakes_at: str):
    earlier = Tables(STORAGE, str(tmp_path), EARLIER)
    for name in "ab":
        earlier.append([block(tmp_path, (name, "mouse"), run_id=EARLIER)])
    revised = block(tmp_path, ("b", "rat"), shard=1, run_id=EARLIER)
    Tables(STORAGE, str(tmp_path), LATER).finish(compact=True)
    go_on = {
        "compaction": earlier.compact,
        "replacement": lambda: earlier.replace([revised], [all_of(revised)]),
        "vacuum": lambda: earlier.documents.vacuum(EARLIER),
    }
    with pytest.raises(RunError, match="another run has taken over"):
        go_on[wakes_at]()
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon"), ("b", "mouse", "Taxon")]


def test_missing_file_without_a_takeover(tables: Tables, tmp_path: Path):
    for name in "ab":
        tables.append([block(tmp_path, (name, "mouse"))])
    for file in tables.documents.files():
        (tmp_path / "documents" / file.path).unlink()
    with pytest.raises(FileNotFoundError):
        tables.compact()


def test_uncommitted_files_of_a_killed_run_are_removed(tmp_path: Path):
    killed = Tables(STORAGE, str(tmp_path), EARLIER)
    killed.append([block(tmp_path, ("a", "mouse"), run_id=EARLIER)])
    block(tmp_path, ("b", "never committed"), run_id=EARLIER)
    rewritten, hidden = (tmp_path / "entities" / name / "part-0.parquet" for name in ("label=Taxon", "_backup"))
    hidden.parent.mkdir()
    for file in (rewritten, hidden):
        file.write_bytes(b"what a commit of delta-rs leaves that came to no end")
        os.utime(file, (1, 1))
    Tables(STORAGE, str(tmp_path), LATER).finish(compact=True)
    assert hidden.exists()
    hidden.unlink()
    assert_only_the_snapshot(tmp_path)


def test_files_that_a_later_run_is_about_to_commit_stay(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path), EARLIER)
    tables.append([block(tmp_path, ("a", "mouse"), run_id=EARLIER)])
    (staged,) = block(tmp_path, ("b", "rat"), run_id=LATER).documents
    unknown = tmp_path / "documents" / "part-00000-c000.zstd.parquet"
    unknown.write_bytes(b"a file of a rewriting by delta-rs")
    tables.finish(compact=True)
    assert unknown.exists()
    assert (tmp_path / "documents" / staged.path).exists()


def test_rows_of_a_run_are_counted_in_little_memory(tmp_path: Path):
    """300,000 entities, whose concept ids alone take 60 MB."""
    common = dict.fromkeys(ENTITIES.names) | {"section": "text", "score": 0.5, "doc_id": "d", "label": "Taxon"}
    documents = pa.Table.from_pylist(
        [
            dict.fromkeys(DOCUMENTS.names) | {"doc_id": f"d{row}", "status": status, "reason": reason, "run_id": run}
            for row, (status, reason, run) in enumerate(
                [("annotated", None, "r"), ("rejected", "bad_xml", "r"), ("rejected", "failed", "q")]
            )
        ],
        DOCUMENTS,
    )
    tables = Tables(STORAGE, str(tmp_path))
    for label, run, count in (*[("Taxon", "r", 30_000)] * 10, ("Cell", "r", 2), ("Cell", "q", 5)):
        columns = common | {"label": label, "run_id": run, "concept_id": "x" * 200 if label == "Taxon" else None}
        rows = pa.table({name: pa.array([value], ENTITIES.field(name).type) for name, value in columns.items()})
        entities = rows.take(np.zeros(count, np.int64)).select(ENTITIES.names)
        append(tables, STORAGE, documents.slice(0, 3 if run == "q" else 0), entities)
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        counts = tables.run_counts("r")
    finally:
        pa.set_memory_pool(before)
    assert counts == (
        {"annotated": 1, "rejected": 1},
        {"bad_xml": 1},
        {"Taxon": 300_000, "Cell": 2},
        {"Taxon": 300_000},
    )
    assert pool.max_memory() < 30 << 20
