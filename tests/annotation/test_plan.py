"""The shards that a run reads."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from craft_ray.annotation.plan import Attempt, any_changed, group_shards, make_plan, plan_shards, read_whole
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Listing, Shard
from craft_ray.tables.known import Known
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE

CHECKPOINT = load_checkpoint("stand-in")
SHARD = Shard("in/a.xml", 100, "etag")


def read_again(output: Path, listed: Shard, settings: Settings | None = None, **finished: object) -> bool:
    """True if a shard is read in a run after one that finished it so."""
    tables = Tables(STORAGE, str(output))
    _, _, signature, _ = plan_shards(tables, SHARDS.empty_table(), Listing([], []), CHECKPOINT, Settings(), 0.0)
    row = {"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag, "signature": signature, "found": 3}
    held = pa.Table.from_pylist([row | finished], schema=SHARDS)
    account, known, _, _ = plan_shards(tables, held, Listing([listed], []), CHECKPOINT, settings or Settings(), 0.0)
    read = bool(account.shards)
    assert account.known == ((0, 0) if read else (1, 3))
    assert not read or account.shards[0].number == known.number[listed.name]
    return read


def test_a_shard_that_was_read_whole_is_not_read_again(tmp_path: Path):
    assert not read_again(tmp_path, SHARD)


@pytest.mark.parametrize("changed", [{"size": 101}, {"tag": "another"}, {"name": "in/b.xml"}])
def test_a_shard_whose_size_tag_or_name_has_changed_is_read(tmp_path: Path, changed: dict[str, object]):
    assert read_again(tmp_path, replace(SHARD, **changed))
    held = pa.Table.from_pylist([{"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag}], schema=SHARDS)
    assert any_changed([replace(SHARD, **changed)], held)
    assert not any_changed([SHARD], held)


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


def test_a_shard_whose_content_is_broken_is_not_opened_again_and_still_counted_as_broken(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    _, _, signature, _ = plan_shards(tables, SHARDS.empty_table(), Listing([], []), CHECKPOINT, Settings(), 0.0)
    row = {"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag, "signature": signature, "found": 3}
    held = pa.Table.from_pylist([row | {"reason": "bad_xml", "detail": "it ends early"}], schema=SHARDS)
    assert not any_changed([SHARD], held)
    account, _, _, _ = plan_shards(tables, held, Listing([SHARD], []), CHECKPOINT, Settings(), 0.0)
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


@pytest.mark.parametrize(
    ("nodes", "replicas", "threads", "device", "token_budget"),
    [
        ([{"CPU": 1}], 1, 1, "cpu", 512),
        ([{"CPU": 6}], 1, 6, "cpu", 512),
        ([{"CPU": 16}], 2, 8, "cpu", 512),
        ([{}, {"CPU": 16}, {"CPU": 8}], 3, 8, "cpu", 512),
        ([{"CPU": 4}, {"CPU": 16}], 5, 4, "cpu", 512),
        ([{"CPU": 12, "GPU": 1}, {"CPU": 12, "GPU": 3}, {"CPU": 64}], 4, 1, "cuda", 32_768),
    ],
)
def test_there_is_a_replica_per_gpu_or_per_eight_cores(
    nodes: list[dict[str, float]], replicas: int, threads: int, device: str, token_budget: int
):
    plan = make_plan(Settings(), nodes)
    assert (plan.replicas, plan.threads, plan.device, plan.token_budget) == (replicas, threads, device, token_budget)
    assert plan.replica_gpus == (device == "cuda")


def test_replicas_that_are_set_share_what_there_is():
    of_gpus = make_plan(Settings(replicas=4), [{"CPU": 12, "GPU": 1}])
    assert (of_gpus.replicas, of_gpus.replica_gpus) == (4, 0.25)
    assert make_plan(Settings(replicas=1), [{"CPU": 12, "GPU": 2}]).replica_gpus == 1
    of_cores = make_plan(Settings(replicas=4), [{"CPU": 16}])
    assert (of_cores.replicas, of_cores.threads, of_cores.replica_cpus) == (4, 4, 1.0)
    assert make_plan(Settings(token_budget=99), [{"CPU": 1}]).token_budget == 99


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
