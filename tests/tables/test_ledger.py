"""What becomes of a document that arrives, in whatever order documents arrive."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.tables.identity import revision
from craft_ray.tables.ledger import Ledger, Outcome, entries


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
            if ledger.outcomes(row)[0] in (Outcome.NEW, Outcome.REVISED, Outcome.REPEATED):
                ledger.update(row)
        held = ledger.merged()
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
    assert (ledger.outcomes(entries(ids, ids * 2, np.ones(len(ids)), np.zeros(len(ids)))) == Outcome.UNCHANGED).all()
    assert ledger.outcome(50_001, 0, 1) == Outcome.NEW
