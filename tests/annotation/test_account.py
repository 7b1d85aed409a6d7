"""The account of a run, its timeline, and the summary that reports both."""

from dataclasses import asdict

import numpy as np
import pytest

from craft_ray.annotation.account import MAX_POINTS, Account, Timeline, UpToDate, summarize
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.counts import ShardAccount, changes
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.ledger import Outcome, entries


def block(statuses: list[str], **end: int) -> WrittenBlock:
    """A block of the shard, and its end if there are counts of it."""
    ids = np.arange(len(statuses))
    return WrittenBlock(
        block_id="",
        documents=[],
        entities=[],
        entries=entries(ids, ids, ids, ids < 0),
        shard_number=np.zeros(len(statuses), np.int32),
        status=statuses,
        reason=[None] * len(statuses),
        tokens=0,
        shard_accounts=[asdict(ShardAccount("a", 0, "", **end))] if end else [],
    )


def account_of(**more) -> Account:
    return Account(Arrivals([Shard("a", 10, number=0)]), **more)


def take(account: Account, given: WrittenBlock) -> None:
    """Receive and commit a block of new documents."""
    account.receive(given)
    outcomes = np.full(len(given.status), Outcome.NEW, np.int8)
    account.arrivals.count(given.shard_number, changes(outcomes, outcomes < 0))
    account.commit([given])
    account.take_finished()


def test_a_lost_document_does_not_add_up():
    account = account_of()
    take(account, block(["annotated"], found=3, emitted=1, unchanged=1))
    assert account.arrivals.all_finished
    assert not account.adds_up()


def test_found_is_never_less_than_committed():
    account = account_of()
    take(account, block(["annotated", "annotated"]))
    assert summarize(account)["documents"] | {"found": 2, "annotated": 2} == summarize(account)["documents"]
    take(account, block(["annotated"], found=9, emitted=9))
    assert summarize(account)["documents"] | {"found": 9, "annotated": 3} == summarize(account)["documents"]


@pytest.mark.parametrize(
    ("statuses", "pruned", "broken", "status"),
    [
        ([], 0, {}, "nothing_new"),
        ([], 1, {}, "complete"),
        (["annotated"], 0, {}, "complete"),
        (["deleted"], 0, {}, "complete"),
        (["annotated", "rejected"], 0, {}, "partly_rejected"),
        ([], 0, {"b": "bad_gzip: it ends early"}, "partly_rejected"),
    ],
)
def test_status_for_a_scheduler(statuses: list[str], pruned: int, broken: dict[str, str], status: str):
    account = account_of(up_to_date=UpToDate(broken=broken))
    take(account, block(statuses, found=len(statuses), emitted=len(statuses)))
    account.pruned = pruned
    assert account.status == status


def test_the_steady_rate_leaves_out_start_and_end():
    timeline = Timeline(started=100.0)
    assert timeline.steady_rate is None
    timeline.commits = [(110.0, 1, 1000)]
    assert timeline.steady_rate is None
    timeline.commits += [(114.0, 2, 1400)]
    assert timeline.steady_rate == 100
    timeline.commits += [(120.0, 3, 1600)]
    assert timeline.steady_rate == 60


def test_commits_are_cumulative():
    now = [10.0]
    timeline = Timeline(started=10.0, clock=lambda: now[0])
    for documents in (1, 2, 4):
        now[0] += 2
        timeline.committed(documents, 10 * documents)
    assert timeline.progress() == [[2, 1, 10], [4, 3, 30], [6, 7, 70]]
    assert (timeline.steps, timeline.seconds) == ({"first_commit": 2}, 6)


def test_progress_of_a_long_run_is_thinned_out():
    timeline = Timeline()
    for _ in range(10 * MAX_POINTS):
        timeline.committed(1, 1)
    assert [row[1] for row in timeline.progress()] == list(range(10, 10 * MAX_POINTS + 1, 10))
