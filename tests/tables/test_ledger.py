"""The ledger decides what becomes of a document that arrives, in whatever order documents arrive."""

import tracemalloc
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.tables import identity
from craft_ray.tables.identity import revision
from craft_ray.tables.ledger import Ledger, Outcome, Part, State, entries


def empty() -> Ledger:
    return Ledger.of(entries([], [], [], []))


def test_the_fates_of_one_document():
    ledger = empty()
    assert ledger.outcome(1, 10, revision(1, 5, False)) == Outcome.NEW
    ledger.update(entries([1], [10], [revision(1, 5, False)], [False]))
    assert ledger.outcome(1, 10, revision(1, 5, False)) == Outcome.UNCHANGED
    assert ledger.outcome(1, 10, revision(1, 6, False)) == Outcome.DUPLICATE
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
            if ledger.outcomes(row)[0][0] in (Outcome.NEW, Outcome.REVISED, Outcome.DUPLICATE):
                ledger.update(row)
        held, _ = ledger.lookup(ledger.joined().id)
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
    ledger.record_duplicates(np.array([2, 600, 5000]), np.array([9, 9, 9]))
    ledger.written()
    ledger.joined()
    held, known = ledger.lookup(np.array([2, 600, 7, 3, 5000]))
    assert known.tolist() == [True, True, True, True, False]
    assert held["state"][:4].tolist() == [State.WRITTEN] * 4
    assert held["duplicate"].tolist() == [True, True, False, False, False]
    assert held["deleted"].tolist() == [False, False, True, False, False]
    assert identity.shard_numbers(held["revision"])[:4].tolist() == [9, 9, 3, 4]


def test_a_document_that_several_shards_repeat_is_of_the_last():
    ledger = Ledger.of(entries([5], [50], [revision(2, 1, False)], [False]))
    ledger.record_duplicates(np.array([5, 5, 5]), np.array([3, 8, 6]))
    ledger.record_duplicates(np.array([5]), np.array([2]))
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


def many(count: int) -> Ledger:
    ids = np.arange(count) * 2
    return Ledger([Part(ids, ids.copy(), np.full(count, revision(1, 1, False)), np.zeros(count, np.int8))])


def test_parts_are_joined_with_one_column_at_a_time_in_memory_twice():
    """Of 38 million documents a copy of all columns is a gigabyte."""
    tracemalloc.start()
    ledger = many(400_000)
    held = tracemalloc.get_traced_memory()[0]
    ids = np.arange(10_000) * 80 + 1
    ledger.update(entries(ids, ids, ids, ids < 0))
    tracemalloc.reset_peak()
    assert len(ledger.joined()) == 410_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * held


def test_what_readers_got_stays_as_it_was():
    ledger = many(1_000)
    reader = Ledger([replace(ledger.joined())])
    for column in (reader.parts[0].id, reader.parts[0].key, reader.parts[0].revision, reader.parts[0].flags):
        column.flags.writeable = False  # as Ray's object store gives it
    ids = np.array([0, 2, 3])
    ledger.update(entries(ids, ids + 7, [revision(1, 5, False)] * 3, [False, True, False]), State.WAITING)
    ledger.record_duplicates(np.array([4, 2]), np.array([8, 8]))
    ledger.written()
    ledger.update(entries(ids, ids + 9, [revision(1, 6, False)] * 3, [False, True, False]), State.WAITING)
    assert len(ledger) == 1_001
    ledger.written()
    held, known = reader.lookup(np.array([0, 2, 4, 3]))
    assert known.tolist() == [True, True, True, False]
    assert held["key"].tolist()[:3] == [0, 2, 4]
    assert not any(held[name].any() for name in ("duplicate", "deleted", "state"))
    assert ledger.held(4)["duplicate"]
    assert ledger.held(2)["deleted"]
    assert ledger.held(3)["state"] == State.WRITTEN


@given(st.lists(st.dictionaries(st.integers(0, 30), st.integers(0, 99)), max_size=6))
def test_the_last_entry_of_each_id_counts_however_parts_are_joined(updates):
    ledger, expected = empty(), {}
    for update in updates:
        ids, keys = np.array(list(update), np.int64), np.array(list(update.values()), np.int64)
        ledger.update(entries(ids, keys, ids, ids < 0))
        expected |= update
    whole = ledger.joined()
    assert dict(zip(whole.id.tolist(), whole.key.tolist(), strict=True)) == expected
    assert (np.diff(whole.id) > 0).all()


def test_an_empty_ledger_holds_nothing():
    assert len(Ledger()) == 0
    assert not Ledger().holds(1)
    ledger = Ledger.of(entries([1, 2], [1, 2], [1, 1], [False, True]))
    assert [ledger.holds(id) for id in (1, 2, 3)] == [True, False, False]


def test_of_entries_with_one_id_the_last_counts():
    ids, keys = np.tile(np.arange(500), 2), np.arange(1_000)
    ledger = Ledger.of(entries(ids, keys, ids, ids < 0))
    assert len(ledger) == 500
    assert ledger.lookup(np.arange(500))[0]["key"].tolist() == list(range(500, 1_000))
