"""The account of a run, its timeline, and the summary that reports both."""

from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from craft_ray.annotation.account import MAX_POINTS, Account, Timeline, UpToDate, summarize
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.counts import ShardAccount, changes
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.ledger import Outcome, entries


def block(shard: int, statuses: list[str], account: ShardAccount | None = None) -> WrittenBlock:
    ids = np.arange(len(statuses))
    return WrittenBlock(
        block_id="",
        documents=[],
        entities=[],
        entries=entries(ids, ids, ids, ids < 0),
        shard_number=np.full(len(statuses), shard, np.int32),
        status=statuses,
        reason=[None] * len(statuses),
        tokens=0,
        shard_accounts=[asdict(account)] if account else [],
    )


def end(number: int, **counts: int) -> ShardAccount:
    return ShardAccount("ab"[number], number, "", **counts)


def account_of(shards: str = "a", **more) -> Account:
    return Account(Arrivals([Shard(name, 10, number=number) for number, name in enumerate(shards)]), **more)


def take(account: Account, *blocks: WrittenBlock) -> None:
    """Receive and commit blocks of new documents."""
    for given in blocks:
        account.receive(given)
        outcomes = np.full(len(given.status), Outcome.NEW, np.int8)
        account.arrivals.count(given.shard_number, changes(outcomes, outcomes < 0))
    account.commit(blocks)
    account.take_finished()


def test_an_account_adds_up_with_its_last_document():
    account = account_of()
    take(account, block(0, ["annotated"], end(0, found=4, emitted=2, unchanged=1, superseded=1)))
    assert not account.adds_up()
    take(account, block(0, ["deleted"]))
    assert account.adds_up()
    assert (account.found, account.committed.documents, account.unchanged) == (4, 2, 1)


def test_a_lost_document_does_not_add_up():
    account = account_of()
    take(account, block(0, ["annotated"], end(0, found=3, emitted=1, unchanged=1)))
    assert account.arrivals.all_finished
    assert not account.adds_up()


def test_found_is_never_less_than_committed():
    account = account_of()
    take(account, block(0, ["annotated", "annotated"]))
    assert summarize(account)["documents"] | {"found": 2, "annotated": 2} == summarize(account)["documents"]
    take(account, block(0, ["annotated"], end(0, found=9, emitted=9)))
    assert summarize(account)["documents"] | {"found": 9, "annotated": 3} == summarize(account)["documents"]


def test_left_out_mentions_are_summed():
    account = account_of()
    left_out = [Counter(Taxon=2), Counter(Taxon=1, Cell=4)]
    take(account, *(replace(block(0, ["annotated"]), left_out=counts) for counts in left_out))
    assert summarize(account)["left_out"] == {"Cell": 4, "Taxon": 3}


def test_files_up_to_date_are_found_and_unchanged():
    account = account_of(up_to_date=UpToDate(shards=2, documents=5))
    take(account, block(0, ["annotated"], end(0, found=1, emitted=1)))
    assert account.adds_up()
    assert (account.found, account.unchanged, account.committed.documents) == (6, 5, 1)
    assert summarize(account)["shards"] | {"found": 3, "known": 2, "read": 1} == summarize(account)["shards"]


def test_a_shard_cut_short_is_read_again():
    account = account_of("ab")
    take(account, block(0, ["annotated"], end(0, found=1, emitted=1, cut_short=True)))
    take(account, block(1, ["annotated"], end(1, found=1, emitted=1)))
    assert account.reread == {0}
    assert summarize(account)["shards"]["cut_short"] == 1


def test_a_shard_with_a_failed_document_is_read_again():
    account = account_of("ab")
    take(account, replace(block(0, ["rejected"], end(0, found=1, emitted=1)), reason=["failed"]))
    take(account, replace(block(1, ["rejected"], end(1, found=1, emitted=1)), reason=["bad_json"]))
    assert account.reread == {0}


def test_broken_shards_are_named():
    account = account_of("ab", up_to_date=UpToDate(broken={"c": "bad_xml: it ends"}))
    take(account, block(0, ["rejected"], end(0, found=1, emitted=1, reason="bad_gzip", detail="it ends early")))
    take(account, block(1, ["annotated"], end(1, found=1, emitted=1)))
    assert account.broken == {"c": "bad_xml: it ends", "a": "bad_gzip: it ends early"}
    shards = summarize(account)["shards"]
    assert shards | {"found": 3, "read": 1, "unreadable": 2} == shards


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
    take(account, block(0, statuses, end(0, found=len(statuses), emitted=len(statuses))))
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
