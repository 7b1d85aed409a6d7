"""The ledger decides what becomes of a document that arrives, in whatever order documents arrive."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.errors import RunError
from craft_ray.tables import identity
from craft_ray.tables.identity import revision
from craft_ray.tables.ledger import Ledger, Outcome, Part, entries


def empty() -> Ledger:
    return Ledger.of(entries([], [], [], []))


def outcome(ledger: Ledger, id: int, key: int, revision: int, deletes: bool = False) -> Outcome:
    return Outcome(int(ledger.outcomes(entries([id], [key], [revision], [deletes]))[0][0]))


def test_outcomes_of_one_document():
    ledger = empty()
    assert outcome(ledger, 1, 10, revision(1, 5, False)) == Outcome.NEW
    ledger.update(entries([1], [10], [revision(1, 5, False)], [False]))
    assert outcome(ledger, 1, 10, revision(1, 5, False)) == Outcome.UNCHANGED
    assert outcome(ledger, 1, 10, revision(1, 6, False)) == Outcome.DUPLICATE
    assert outcome(ledger, 1, 11, revision(1, 5, False)) == Outcome.REVISED
    assert outcome(ledger, 1, 11, revision(1, 4, False)) == Outcome.SUPERSEDED
    assert outcome(ledger, 1, 11, revision(2, 4, False)) == Outcome.REVISED
    assert outcome(ledger, 1, 11, revision(1, 9, True)) == Outcome.SUPERSEDED
    assert outcome(ledger, 1, 12, revision(1, 0, False), deletes=True) == Outcome.REVISED


def test_another_document_with_the_same_hash_ends_the_run():
    """It would replace the first one, or count as an older revision of it, and be nowhere."""
    ledger = empty()
    one, other = (identity.key(name, "content", "model") for name in ("one", "other"))
    ledger.update(entries([1], [one], [revision(1, 5, False)], [False]))
    assert outcome(ledger, 1, identity.key("one", "revised", "model"), revision(1, 4, False)) == Outcome.SUPERSEDED
    for shard in (4, 6):
        with pytest.raises(RunError, match="two documents have the same id hash"):
            outcome(ledger, 1, other, revision(1, shard, False))


def test_a_deletion_is_final():
    ledger = empty()
    ledger.update(entries([1], [10], [revision(1, 5, False)], [True]))
    assert outcome(ledger, 1, 11, revision(9, 9, False)) == Outcome.SUPERSEDED
    assert outcome(ledger, 1, 10, revision(1, 5, False), deletes=True) == Outcome.UNCHANGED
    assert outcome(ledger, 1, 11, revision(1, 4, False), deletes=True) == Outcome.SUPERSEDED
    assert outcome(ledger, 1, 11, revision(2, 4, False), deletes=True) == Outcome.REVISED


def test_many_updates_leave_few_parts():
    ledger = empty()
    for at in range(0, 30_000, 30):
        ids = np.arange(at, at + 30)
        ledger.update(entries(ids, ids, ids, ids < 0))
    assert len(ledger.parts) <= 5
    assert len(ledger) == 30_000


def test_flags_survive_merges_and_duplicates():
    ids = np.arange(1000)
    ledger = Ledger.of(entries(ids, ids, [revision(1, 3, False)] * 1000, ids == 7))
    ledger.update(entries(ids[:5], ids[:5], [revision(1, 4, False)] * 5, ids[:5] < 0))
    ledger.record_duplicates(np.array([2, 600, 5000]), np.array([9, 9, 9]))
    ledger.merged()
    held, known = ledger.lookup(np.array([2, 600, 7, 3, 5000]))
    assert known.tolist() == [True, True, True, True, False]
    assert held["in_run"].tolist() == [True, False, False, True, False]
    assert held["duplicated"].tolist() == [True, True, False, False, False]
    assert held["deleted"].tolist() == [False, False, True, False, False]
    assert identity.shard_numbers(held["revision"])[:4].tolist() == [9, 9, 3, 4]


def test_the_last_of_several_duplicates_counts():
    ledger = Ledger.of(entries([5], [50], [revision(2, 1, False)], [False]))
    ledger.record_duplicates(np.array([5, 5, 5]), np.array([3, 8, 6]))
    ledger.record_duplicates(np.array([5]), np.array([2]))
    assert ledger.lookup(np.array([5]))[0]["revision"] == revision(2, 8, False)


def test_look_ups_copy_no_column():
    """A packed dtype made NumPy copy the column of ids at each look-up: 48 ms a document at 20 million known."""
    ids = np.arange(2_000_000)
    ledger = Ledger.of(entries(ids, ids, ids, ids < 0))
    tracemalloc.start()
    ledger.lookup(np.arange(100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_memory_of_a_merge():
    """Of 38 million documents a copy of all columns is a gigabyte."""
    tracemalloc.start()
    ids = np.arange(400_000) * 2
    ledger = Ledger([Part(ids, ids.copy(), np.full(len(ids), revision(1, 1, False)), np.zeros(len(ids), np.int8))])
    held = tracemalloc.get_traced_memory()[0]
    ids = np.arange(10_000) * 80 + 1
    ledger.update(entries(ids, ids, ids, ids < 0))
    tracemalloc.reset_peak()
    assert len(ledger.merged()) == 410_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * held


@given(st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 99))), max_size=6))
def test_the_last_entry_of_an_id_counts(updates):
    ledger, expected = empty(), {}
    for update in updates:
        ids, keys = np.array(update, np.int64).reshape(-1, 2).T
        ledger.update(entries(ids, keys, ids, ids < 0))
        expected |= dict(update)
    whole = ledger.merged()
    assert dict(zip(whole.id.tolist(), whole.key.tolist(), strict=True)) == expected
    assert (np.diff(whole.id) > 0).all()


def test_membership():
    assert len(Ledger()) == 0
    assert 1 not in Ledger()
    ledger = Ledger.of(entries([1, 2], [1, 2], [1, 1], [False, True]))
    assert [id in ledger for id in (1, 2, 3)] == [True, False, False]
