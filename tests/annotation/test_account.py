"""The account of a run adds up only if each document found is accounted for."""

import tracemalloc
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from craft_ray.annotation.account import Account, Timeline
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.ledger import entries


def block(shard: int, statuses: list[str], end: dict[str, object] | None = None) -> WrittenBlock:
    numbers = np.full(len(statuses), shard, np.int32)
    ids = np.arange(len(statuses))
    ends = (
        [] if end is None else [{"shard_number": shard, "part": 0, "parts": 1, "duplicates": [], "reason": None} | end]
    )
    return WrittenBlock("", [], [], entries(ids, ids, ids, ids < 0), numbers, statuses, [None] * len(statuses), 0, ends)


def end(found: int, emitted: int, unchanged: int = 0, superseded: int = 0) -> dict[str, object]:
    return {
        "found": found,
        "emitted": emitted,
        "unchanged": unchanged,
        "superseded": superseded,
        "titles_alone": 0,
    }


def take(account: Account, *blocks: WrittenBlock) -> list[str]:
    for given in blocks:
        account.arrived(given)
    account.wrote(blocks)
    return [shard.name for shard, _ in account.take_finished()]


def test_a_shard_is_finished_once_all_its_documents_have_come_and_then_the_account_adds_up():
    account = Account([Shard("a", 10, number=0)])
    assert take(account, block(0, ["annotated"], end(found=4, emitted=2, unchanged=1, superseded=1))) == []
    assert account.missing()
    assert not account.adds_up()
    assert take(account, block(0, ["deleted"])) == ["a"]
    assert account.adds_up()
    assert (account.found, account.committed, account.unchanged) == (4, 2, 1)


def test_bytes_of_a_file_count_as_they_are_read_and_not_at_its_end_alone():
    account = Account([Shard("a", 100, number=0), Shard("b", 50, number=1)])
    read = []
    for number, position in ((0, 40), (1, 10), (0, 30), (0, 90)):  # blocks come in any order
        account.arrived(replace(block(number, ["annotated"]), positions={(number, 0): position}))
        read.append(account.bytes_done)
    assert read == [40, 50, 50, 100]
    account.arrived(replace(block(1, ["annotated"], end(found=2, emitted=2)), positions={(1, 0): 60}))
    assert account.bytes_done == 140  # no more than the file has
    account.forget(account.shards)
    assert account.bytes_done == 0


def test_files_that_are_finished_take_no_more_memory():
    groups, files = 40, 100
    account = Account([Shard(f"{number}.txt", 10, number=number) for number in range(groups * files)])
    tracemalloc.start()
    held = []
    for group in range(groups):
        take(
            account,
            *(
                replace(block(number, ["annotated"], end(found=1, emitted=1)), positions={(number, 0): 5})
                for number in range(group * files, (group + 1) * files)
            ),
        )
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert account.adds_up()
    assert (held[-1] - held[1]) / (groups * files) < 50


def test_a_block_that_comes_once_more_after_its_file_has_finished_adds_no_bytes():
    account = Account([Shard("a", 10, number=0), Shard("b", 10, number=1)])
    given = replace(block(0, ["annotated"], end(found=1, emitted=1)), positions={(0, 0): 9})
    take(account, given)
    account.arrived(given)
    assert account.bytes_done == 10


def test_a_document_that_is_found_and_not_accounted_for_does_not_add_up():
    account = Account([Shard("a", 10, number=0)])
    assert take(account, block(0, ["annotated"], end(found=3, emitted=1, unchanged=1))) == ["a"]
    assert not account.adds_up()


def test_of_a_run_that_was_stopped_what_is_found_is_never_less_than_what_is_committed():
    account = Account([Shard("a", 10, number=0)])
    take(account, block(0, ["annotated", "annotated"]))
    assert account.summary()["documents"] | {"found": 2, "annotated": 2} == account.summary()["documents"]
    take(account, block(0, ["annotated"], end(found=9, emitted=9)))
    assert account.summary()["documents"] | {"found": 9, "annotated": 3} == account.summary()["documents"]


def test_a_shard_that_is_read_again_counts_once():
    account = Account([Shard("a", 10, number=0)])
    take(account, block(0, ["annotated", "annotated"]))
    account.forget(account.missing())
    assert take(account, block(0, ["annotated"], end(found=3, emitted=1, unchanged=2))) == ["a"]
    assert account.adds_up()
    assert (account.committed, account.unchanged) == (3, 0)


def test_mentions_that_were_left_out_are_in_the_summary():
    account = Account([Shard("a", 10, number=0)])
    left_out = [Counter(Taxon=2), Counter(Taxon=1, Cell=4)]
    take(account, *(replace(block(0, ["annotated"]), left_out=counts) for counts in left_out))
    assert account.summary()["left_out"] == {"Cell": 4, "Taxon": 3}


def test_what_is_in_shards_that_need_not_be_read_is_found_and_unchanged():
    account = Account([Shard("a", 10, number=0)], known=(2, 5))
    take(account, block(0, ["annotated"], end(found=1, emitted=1)))
    assert account.adds_up()
    assert (account.found, account.unchanged, account.committed) == (6, 5, 1)
    shards = account.summary()["shards"]
    assert (shards["found"], shards["known"], shards["read"]) == (3, 2, 1)


def test_shards_are_unread_until_they_have_closed_and_missing_until_all_their_documents_have_come():
    account = Account([Shard("a", 1, number=0), Shard("b", 2, number=1), Shard("c", 4, number=2)])
    take(account, block(0, ["annotated"], end(found=1, emitted=1)))
    take(account, block(1, ["annotated"], end(found=2, emitted=2)))
    assert account.unread() == {2}
    assert [shard.name for shard in account.missing()] == ["b", "c"]
    assert (account.shards_done, account.bytes_done, account.bytes_total) == (2, 3, 7)


def test_a_shard_of_which_a_limit_left_documents_out_is_read_again_by_the_next_run():
    account = Account([Shard("a", 10, number=0), Shard("b", 10, number=1)])
    take(account, block(0, ["annotated"], end(found=1, emitted=1) | {"cut_short": True}))
    take(account, block(1, ["annotated"], end(found=1, emitted=1)))
    assert account.to_read_again == {0}
    assert account.summary()["shards"]["cut_short"] == 1


def test_a_shard_of_which_a_document_failed_is_read_again_by_the_next_run():
    account = Account([Shard("a", 10, number=0), Shard("b", 10, number=1)])
    take(account, replace(block(0, ["rejected"], end(found=1, emitted=1)), reason=["failed"]))
    take(account, replace(block(1, ["rejected"], end(found=1, emitted=1)), reason=["bad_json"]))
    assert account.to_read_again == {0}


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
def test_a_scheduler_is_told_what_a_run_came_to(statuses: list[str], pruned: int, broken: dict[str, str], status: str):
    account = Account([Shard("a", 10, number=0)], known_broken=broken)
    take(account, block(0, statuses, end(found=len(statuses), emitted=len(statuses))))
    account.pruned = pruned
    assert account.status == status


def test_the_steady_rate_is_that_between_the_first_commit_and_the_last():
    timeline = Timeline(started=100.0)
    assert timeline.steady_rate is None
    timeline.commits = [(110.0, 1, 1000)]
    assert timeline.steady_rate is None
    timeline.commits += [(114.0, 2, 1400)]
    assert timeline.steady_rate == 100
    timeline.commits += [(120.0, 3, 1600)]
    assert timeline.steady_rate == 60


def test_a_timeline_adds_up_what_was_committed_and_keeps_when_the_first_was():
    timeline = Timeline()
    for documents in (1, 2, 4):
        timeline.committed(documents, 10 * documents)
    assert [commit[1:] for commit in timeline.commits] == [(1, 10), (3, 30), (7, 70)]
    assert 0 <= timeline.steps["first_commit"] <= timeline.progress()[0][0]
