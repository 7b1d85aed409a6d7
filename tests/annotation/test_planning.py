"""The shards that a run reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from craft_ray.annotation.account import Account, UpToDate, summarize
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.catalogue.catalogue import Catalogue
from craft_ray.annotation.catalogue.existing import Existing
from craft_ray.annotation.catalogue.file_states import FileStates
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.plan import (
    Attempt,
    ReadingPlan,
    group_shards,
    plan_reading,
    shard_signature,
    unsplittable_shards,
)
from craft_ray.core import version
from craft_ray.core.schema import SHARDS, TRANSIENT_REASONS
from craft_ray.core.settings import Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.readers import reader
from craft_ray.storage.shards import Listing, Shard, files_table
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE

CHECKPOINT = load_checkpoint("stand-in")
SHARD = Shard("in/a.xml", 100, "etag")


NOTED = {"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag, "found": 3, "run_id": "1"}
NOTED["signature"] = shard_signature(CHECKPOINT, Settings())
"""The row of a shard that was read to its end."""


def listing(*shards: Shard) -> Listing:
    return Listing(files_table((shard.name, shard.size, shard.tag, 0, "") for shard in shards))


def noted(*rows: dict[str, object]) -> list[pa.RecordBatch]:
    return pa.Table.from_pylist([*rows], schema=SHARDS).to_batches()


def planned(
    output: Path, listed: Listing, *rows: dict[str, object], settings: Settings | None = None
) -> tuple[Account, ReadingPlan]:
    """The account and the plan of a run, after runs that recorded some shards."""
    tables = Tables(STORAGE, str(output))
    tables.record_finished(pa.Table.from_pylist([*rows], schema=SHARDS))
    signature = shard_signature(CHECKPOINT, settings or Settings())
    plan = plan_reading(Catalogue(tables, listed), signature, prune=False, limit=None)
    return Account(Arrivals(plan.shards), plan.up_to_date), plan


def is_read(output: Path, listed: Shard, settings: Settings | None = None, **finished: object) -> bool:
    """True if a shard is read in a run after one that recorded it so."""
    _, plan = planned(output, listing(listed), NOTED | finished, settings=settings)
    read = bool(plan.shards)
    assert plan.up_to_date == (UpToDate() if read else UpToDate(1, 3))
    assert not read or [plan.shards[0].number] == plan.existing.numbers.tolist()
    return read


def test_an_unchanged_shard_is_not_read(tmp_path: Path):
    assert not is_read(tmp_path, SHARD)


@pytest.mark.parametrize("changed", [{"size": 101}, {"tag": "another"}, {"name": "in/b.xml"}])
def test_a_changed_shard_is_read(tmp_path: Path, changed: dict[str, object]):
    assert is_read(tmp_path, replace(SHARD, **changed))
    assert FileStates.of(listing(replace(SHARD, **changed)), noted(NOTED)).any_changed()
    assert not FileStates.of(listing(SHARD), noted(NOTED)).any_changed()


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
def test_a_transient_failure_or_another_signature_is_read(tmp_path: Path, finished: dict[str, object]):
    assert is_read(tmp_path, SHARD, **finished)
    by_chance = finished.get("reason") in TRANSIENT_REASONS
    assert FileStates.of(listing(SHARD), noted(NOTED | finished)).any_changed() == by_chance


def test_a_broken_shard_is_counted_and_not_read(tmp_path: Path):
    row = NOTED | {"reason": "bad_xml", "detail": "it ends early"}
    assert not FileStates.of(listing(SHARD), noted(row)).any_changed()
    account, _ = planned(tmp_path, listing(SHARD), row)
    assert not account.shards
    assert account.status == "partly_rejected"
    summary = summarize(account)
    assert summary["adds_up"]
    assert summary["documents"]["unchanged"] == 3
    assert summary["shards"]["broken"] == {SHARD.name: "bad_xml: it ends early"}


def test_new_and_changed_shards_are_read_in_order(tmp_path: Path):
    shards = [Shard(f"in/{name}.xml", 100, "etag") for name in "abcdefg"]
    rows = [NOTED | {"shard": shard.name, "found": n} for n, shard in enumerate(shards)]
    rows[1] |= {"size": 99}
    rows[2] |= {"reason": "bad_xml", "detail": "it ends early"}
    rows[4] |= {"reason": "unreadable", "detail": "it does not exist"}
    account, plan = planned(tmp_path, listing(*shards), *rows[::-1][1:], NOTED | {"shard": "in/gone.xml", "found": 50})
    assert [shard.name for shard in account.shards] == ["in/b.xml", "in/e.xml", "in/g.xml"]
    assert (plan.up_to_date.shards, plan.up_to_date.documents) == (3, 0 + 2 + 3 + 5)
    assert account.broken == {"in/c.xml": "bad_xml: it ends early"}


def test_the_row_of_the_last_run_counts():
    old, new = NOTED | {"found": 2, "run_id": "1"}, NOTED | {"found": 5, "run_id": "2"}
    mended = NOTED | {"found": 7, "run_id": "3"}
    failed = old | {"reason": "unreadable", "detail": "it does not exist"}
    for rows in ([old, new], [new, old], [failed, new], [new, failed]):
        for batches in (noted(*rows), [batch for row in rows for batch in noted(row)]):
            finished = FileStates.of(listing(SHARD), batches)
            assert (finished.found.tolist(), finished.permanent.tolist(), finished.any_changed()) == (
                [5],
                [True],
                False,
            )
    finished = FileStates.of(listing(SHARD), [*noted(new, failed), *noted(mended), *noted(old)])
    assert (finished.found.tolist(), finished.any_changed()) == ([7], False)
    assert np.flatnonzero(finished.broken).tolist() == []


def test_what_the_signature_depends_on(
    monkeypatch: pytest.MonkeyPatch,
):
    signature = shard_signature(CHECKPOINT, Settings())
    assert shard_signature(CHECKPOINT, Settings(replicas=3, precision="fp32", keep_text=False)) == signature
    others = [
        shard_signature(replace(CHECKPOINT, fingerprint="another"), Settings()),
        shard_signature(CHECKPOINT, Settings(id_prefix="shard")),
        shard_signature(CHECKPOINT, Settings(include=("tables",))),
    ]
    monkeypatch.setattr(version, "__version__", "0.0.0")
    assert shard_signature(CHECKPOINT, Settings()) == signature  # a release reads nothing again by itself
    monkeypatch.setattr(reader, "READER_VERSION", 0)
    others.append(shard_signature(CHECKPOINT, Settings()))
    assert len({signature, *others}) == 5


def names(attempt: Attempt, shards: list[Shard], cores: int = 2) -> list[list[str]]:
    groups = group_shards(shards, make_plan(Settings(), [{"CPU": cores}]), attempt)
    return [[shard.name for shard in group] for group in groups]


def test_small_files_are_grouped():
    assert names(Attempt.FIRST, [Shard(name, 80 << 10) for name in "abcde"]) == [[name] for name in "abcde"]
    assert names(Attempt.FIRST, [Shard(name, 40 << 10) for name in "abcde"]) == [["a", "b"], ["c", "d"], ["e"]]
    many = names(Attempt.FIRST, [Shard(str(number), 1) for number in range(2500)])
    assert [len(group) for group in many] == [1000, 1000, 500]
    assert [name for group in many for name in group] == [str(number) for number in range(2500)]
    large = [Shard(str(number), 1 << 20) for number in range(32)]
    assert {len(group) for group in names(Attempt.FIRST, large)} == {4}
    assert {len(group) for group in names(Attempt.FIRST, large, cores=16)} == {2}


@pytest.mark.parametrize("attempt", [Attempt.ISOLATE, Attempt.REJECT])
def test_careful_attempts_read_file_by_file(attempt: Attempt):
    assert names(attempt, [Shard(name, 1) for name in "abc"]) == [["a"], ["b"], ["c"]]
    assert names(Attempt.RETRY, [Shard(name, 1) for name in "abc"]) == [["a", "b", "c"]]


def test_unsplittable_shards():
    shards = [
        Shard("in/a.tar", 9, number=4),
        Shard("moved/b.tar", 9, number=5, named="in/b.tar"),
        Shard("c", 9, number=6),
    ]
    existing = Existing()
    assert unsplittable_shards(shards, existing, limit=10) == {4, 5, 6}
    assert unsplittable_shards(shards, existing, limit=None) == set()
    existing.rejected.update({"in/a.tar": ["in/a.tar!x.xml#2"], "in/b.tar": ["in/b.tar!y.xml#item-7.0"]})
    assert unsplittable_shards(shards, existing, limit=None) == {5}
