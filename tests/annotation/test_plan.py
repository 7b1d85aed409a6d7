"""The shards that a run reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from craft_ray.annotation import plan as module
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.finished import Finished, read_finished
from craft_ray.annotation.plan import Attempt, group_shards, plan_shards, read_whole, shard_signature
from craft_ray.core.schema import SHARDS, TRANSIENT_REASONS
from craft_ray.core.settings import Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Listing, Shard, files_table
from craft_ray.tables.known import Known
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE

CHECKPOINT = load_checkpoint("stand-in")
SHARD = Shard("in/a.xml", 100, "etag")


NOTED = {"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag, "found": 3, "run_id": "1"}
NOTED["signature"] = shard_signature(CHECKPOINT, Settings())
"""The row of a shard that was read whole."""


def listing(*shards: Shard) -> Listing:
    return Listing(files_table((shard.name, shard.size, shard.tag, 0, "") for shard in shards), [])


def noted(*rows: dict[str, object]) -> list[pa.RecordBatch]:
    return pa.Table.from_pylist([*rows], schema=SHARDS).to_batches()


def planned(output: Path, listed: Listing, *rows: dict[str, object], settings: Settings | None = None):
    """The account of a run, and what the tables hold, after runs that noted some shards."""
    tables = Tables(STORAGE, str(output))
    tables.record_finished(pa.Table.from_pylist([*rows], schema=SHARDS))
    finished = read_finished(tables, listed, with_duplicates=False)
    account, known, _, _ = plan_shards(tables, finished, listed, CHECKPOINT, settings or Settings(), 0.0)
    return account, known


def read_again(output: Path, listed: Shard, settings: Settings | None = None, **finished: object) -> bool:
    """True if a shard is read in a run after one that finished it so."""
    account, known = planned(output, listing(listed), NOTED | finished, settings=settings)
    read = bool(account.shards)
    assert account.known == ((0, 0) if read else (1, 3))
    assert not read or [account.shards[0].number] == known.numbers.tolist()
    return read


def test_a_shard_that_was_read_whole_is_not_read_again(tmp_path: Path):
    assert not read_again(tmp_path, SHARD)


@pytest.mark.parametrize("changed", [{"size": 101}, {"tag": "another"}, {"name": "in/b.xml"}])
def test_a_shard_whose_size_tag_or_name_has_changed_is_read(tmp_path: Path, changed: dict[str, object]):
    assert read_again(tmp_path, replace(SHARD, **changed))
    assert Finished.of(listing(replace(SHARD, **changed)), noted(NOTED)).any_changed()
    assert not Finished.of(listing(SHARD), noted(NOTED)).any_changed()


@pytest.mark.parametrize(
    "finished",
    [
        {"reason": "unreadable"},
        {"reason": "failed"},
        {"reason": "bad_gzip", "signature": "of an earlier version"},
        {"signature": "of another model"},
        {"signature": None},
    ],
)
def test_a_shard_that_failed_by_chance_or_would_be_read_in_another_way_is_read(
    tmp_path: Path, finished: dict[str, object]
):
    assert read_again(tmp_path, SHARD, **finished)
    by_chance = finished.get("reason") in TRANSIENT_REASONS
    assert Finished.of(listing(SHARD), noted(NOTED | finished)).any_changed() == by_chance


def test_a_shard_whose_content_is_broken_is_not_opened_again_and_still_counted_as_broken(tmp_path: Path):
    row = NOTED | {"reason": "bad_xml", "detail": "it ends early"}
    assert not Finished.of(listing(SHARD), noted(row)).any_changed()
    account, _ = planned(tmp_path, listing(SHARD), row)
    assert not account.shards
    assert account.status == "partly_rejected"
    summary = account.summary()
    assert summary["adds_up"]
    assert summary["documents"]["unchanged"] == 3
    assert summary["shards"] == {
        "found": 1,
        "known": 0,
        "read": 0,
        "unreadable": 1,
        "broken": {SHARD.name: "bad_xml: it ends early"},
        "cut_short": 0,
        "passed_over": [],
        "files_passed_over": 0,
    }


def test_a_shard_is_read_where_its_format_is_set_otherwise(tmp_path: Path):
    assert read_again(tmp_path, SHARD, Settings(format="pubmed"))


def test_of_many_shards_those_that_are_new_or_changed_are_read_in_order(tmp_path: Path):
    shards = [Shard(f"in/{name}.xml", 100, "etag") for name in "abcdefg"]
    rows = [NOTED | {"shard": shard.name, "found": n} for n, shard in enumerate(shards)]
    rows[1] |= {"size": 99}
    rows[2] |= {"reason": "bad_xml", "detail": "it ends early"}
    rows[4] |= {"reason": "unreadable", "detail": "it does not exist"}
    account, _ = planned(tmp_path, listing(*shards), *rows[::-1][1:], NOTED | {"shard": "in/gone.xml", "found": 50})
    assert [shard.name for shard in account.shards] == ["in/b.xml", "in/e.xml", "in/g.xml"]
    assert account.known == (3, 0 + 2 + 3 + 5)
    assert account.broken == {"in/c.xml": "bad_xml: it ends early"}


def test_of_several_rows_of_a_shard_that_of_the_last_run_counts_wherever_it_stands():
    old, new = NOTED | {"found": 2, "run_id": "1"}, NOTED | {"found": 5, "run_id": "2"}
    mended = NOTED | {"found": 7, "run_id": "3"}
    failed = old | {"reason": "unreadable", "detail": "it does not exist"}
    for rows in ([old, new], [new, old], [failed, new], [new, failed]):
        for batches in (noted(*rows), [batch for row in rows for batch in noted(row)]):
            finished = Finished.of(listing(SHARD), batches)
            assert (finished.found.tolist(), finished.settled.tolist(), finished.any_changed()) == ([5], [True], False)
    finished = Finished.of(listing(SHARD), [*noted(new, failed), *noted(mended), *noted(old)])
    assert (finished.found.tolist(), finished.any_changed()) == ([7], False)
    assert np.flatnonzero(finished.broken).tolist() == []


def test_documents_without_an_id_are_named_by_path(tmp_path: Path):
    path_start = len("/home/")
    account, _ = planned(tmp_path, Listing(files_table([("/home/notes/a.txt", 9, "tag", path_start, "")]), []))
    assert [shard.named for shard in account.shards] == ["notes/a.txt"]


def test_a_shard_is_read_anew_for_another_model_another_version_and_another_way_to_read_and_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
):
    signature = shard_signature(CHECKPOINT, Settings())
    assert shard_signature(CHECKPOINT, Settings(replicas=3, precision="fp32", keep_text=False)) == signature
    others = [
        shard_signature(replace(CHECKPOINT, fingerprint="another"), Settings()),
        shard_signature(CHECKPOINT, Settings(id_prefix="shard")),
        shard_signature(CHECKPOINT, Settings(include=("tables",))),
    ]
    monkeypatch.setattr(module, "__version__", "0.0.0")
    others.append(shard_signature(CHECKPOINT, Settings()))
    assert len({signature, *others}) == 5


def names(attempt: Attempt, shards: list[Shard], cores: int = 2) -> list[list[str]]:
    groups = group_shards(shards, make_plan(Settings(), [{"CPU": cores}]), attempt)
    return [[shard.name for shard in group] for group in groups]


def test_small_files_are_read_together_up_to_an_eighth_of_all_and_to_a_thousand():
    assert names(Attempt.FIRST, [Shard(name, 80 << 10) for name in "abcde"]) == [[name] for name in "abcde"]
    assert names(Attempt.FIRST, [Shard(name, 40 << 10) for name in "abcde"]) == [["a", "b"], ["c", "d"], ["e"]]
    many = names(Attempt.FIRST, [Shard(str(number), 1) for number in range(2500)])
    assert [len(group) for group in many] == [1000, 1000, 500]
    assert [name for group in many for name in group] == [str(number) for number in range(2500)]
    large = [Shard(str(number), 1 << 20) for number in range(32)]
    assert {len(group) for group in names(Attempt.FIRST, large)} == {4}
    assert {len(group) for group in names(Attempt.FIRST, large, cores=16)} == {2}


def test_an_archive_that_is_large_beside_the_others_and_too_small_for_parts_is_one_task():
    assert names(Attempt.FIRST, [Shard("a.tar", 1 << 20), Shard("b.jsonl", 9)]) == [["a.tar"], ["b.jsonl"]]


@pytest.mark.parametrize("attempt", [Attempt.ISOLATE, Attempt.REJECT])
def test_each_file_is_a_task_of_its_own_where_one_is_suspected(attempt: Attempt):
    assert names(attempt, [Shard(name, 1) for name in "abc"]) == [["a"], ["b"], ["c"]]
    assert names(Attempt.RETRY, [Shard(name, 1) for name in "abc"]) == [["a", "b", "c"]]


def test_an_archive_is_read_whole_for_a_limit_and_where_its_files_shared_an_id():
    shards = [
        Shard("in/a.tar", 9, number=4),
        Shard("moved/b.tar", 9, number=5, named="in/b.tar"),
        Shard("c", 9, number=6),
    ]
    known = Known.nothing()
    assert read_whole(shards, known, limit=10) == {4, 5, 6}
    assert read_whole(shards, known, limit=None) == set()
    known.rejected.update({"in/a.tar": ["in/a.tar!x.xml#2"], "in/b.tar": ["in/b.tar!y.xml#item-7.0"], "in/d.tar": []})
    assert read_whole(shards, known, limit=None) == {5}
