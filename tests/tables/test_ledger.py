"""The ledger decides what becomes of a document that arrives, in whatever order documents arrive."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.tables import identity
from craft_ray.tables.identity import revision
from craft_ray.tables.ledger import Ledger, Outcome, State, entries


def empty() -> Ledger:
    return Ledger.of(entries([], [], [], []))


def test_the_fates_of_one_document():
    ledger = empty()
    assert ledger.outcome(1, 10, revision(1, 5, False)) == Outcome.NEW
    ledger.update(entries([1], [10], [revision(1, 5, False)], [False]))
    assert ledger.outcome(1, 10, revision(1, 5, False)) == Outcome.UNCHANGED
    assert ledger.outcome(1, 10, revision(1, 6, False)) == Outcome.REPEATED
    assert ledger.outcome(1, 11, revision(1, 5, False)) == Outcome.REVISED
    assert ledger.outcome(1, 11, revision(1, 4, False)) == Outcome.SUPERSEDED
    assert ledger.outcome(1, 11, revision(2, 4, False)) == Outcome.REVISED
    assert ledger.outcome(1, 11, revision(1, 9, True)) == Outcome.SUPERSEDED
    assert ledger.outcome(1, 12, revision(1, 0, False), deletes=True) == Outcome.REVISED


def test_a_deletion_is_final():
    ledger = empty()
    ledger.update(entries([1], [10], [revision(1, 5, False)], [True]))
    assert ledger.outcome(1, 11, revision(9, 9, False)) == Outcome.SUPERSEDED
    assert ledger.outcome(1, 10, revision(1, 5, False), deletes=True) == Outcome.UNCHANGED


arrivals = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 3), st.booleans()),
    max_size=12,
    unique_by=lambda a: (a[0], a[2]),
)


@given(arrivals, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(documents, random):
    def final(order):
        ledger = empty()
        for id, content, shard, deletes in order:
            row = entries([id], [-id - 1 if deletes else id * 10 + content], [revision(1, shard, False)], [deletes])
            if ledger.outcomes(row)[0][0] in (Outcome.NEW, Outcome.REVISED, Outcome.REPEATED):
                ledger.update(row)
        held, _ = ledger.lookup(ledger.merged().parts[0].id)
        return [(int(row["id"]), int(row["key"]), bool(row["deleted"])) for row in held]

    shuffled = list(documents)
    random.shuffle(shuffled)
    assert final(documents) == final(shuffled)


def test_lookups_hold_across_merges():
    ledger = empty()
    ids = np.arange(50_000)
    for part in np.array_split(np.random.default_rng(0).permutation(ids), 7):
        ledger.update(entries(part, part * 2, np.ones(len(part)), np.zeros(len(part))))
    assert len(ledger) == 50_000
    outcomes, _ = ledger.outcomes(entries(ids, ids * 2, np.ones(len(ids)), np.zeros(len(ids))))
    assert (outcomes == Outcome.UNCHANGED).all()
    assert ledger.outcome(50_001, 0, 1) == Outcome.NEW


def test_a_ledger_of_many_small_updates_has_few_parts():
    ledger = empty()
    for at in range(0, 30_000, 30):
        ids = np.arange(at, at + 30)
        ledger.update(entries(ids, ids, ids, ids < 0))
    assert len(ledger.parts) <= 5
    assert len(ledger) == 30_000


def test_the_state_of_an_entry_is_kept_through_merges_and_repeats():
    ledger = empty()
    ids = np.arange(1000)
    ledger.update(entries(ids, ids, [revision(1, 3, False)] * 1000, ids == 7), State.WRITTEN)
    ledger.update(entries(ids[:5], ids[:5], [revision(1, 4, False)] * 5, ids[:5] < 0), State.WAITING)
    ledger.repeat(np.array([2, 600, 5000]), np.array([9, 9, 9]))
    ledger.written()
    held, known = ledger.merged().lookup(np.array([2, 600, 7, 3, 5000]))
    assert known.tolist() == [True, True, True, True, False]
    assert held["state"][:4].tolist() == [State.WRITTEN] * 4
    assert held["repeated"].tolist() == [True, True, False, False, False]
    assert held["deleted"].tolist() == [False, False, True, False, False]
    assert identity.shard_numbers(held["revision"])[:4].tolist() == [9, 9, 3, 4]


def test_a_document_that_several_shards_repeat_is_of_the_last():
    ledger = Ledger.of(entries([5], [50], [revision(2, 1, False)], [False]))
    ledger.repeat(np.array([5, 5, 5]), np.array([3, 8, 6]))
    ledger.repeat(np.array([5]), np.array([2]))
    assert ledger.held(5)["revision"] == revision(2, 8, False)


def test_looking_up_copies_no_column():
    """A packed dtype made NumPy copy the column of ids at each look-up: 48 ms a document at 20 million known."""
    ids = np.arange(2_000_000)
    ledger = Ledger.of(entries(ids, ids, ids, ids < 0))
    tracemalloc.start()
    ledger.lookup(np.arange(100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
