"""Every document that is found counts once, whatever order documents arrive in and however often shards are read."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.counts import CHANGES, Counts, ShardAccount, changes, restart
from craft_ray.storage.shards import Shard
from craft_ray.tables.identity import revision
from craft_ray.tables.ledger import Ledger, Outcome, admitted, entries


@pytest.mark.parametrize("change", CHANGES.values())
def test_each_document_changes_one_count_by_one(change: Counts):
    assert sorted(change) == [0, 0, 1]


def test_changes_of_many_documents():
    outcomes = np.array([outcome for outcome, _ in CHANGES], np.int8)
    in_run = np.array([in_run for _, in_run in CHANGES])
    assert [Counts(*row) for row in changes(outcomes, in_run).tolist()] == list(CHANGES.values())


def test_restart_leaves_what_is_committed():
    assert restart(Counts(committed=3, unchanged=2, superseded=1)) == Counts(0, -2, -4)


class SimulatedRun:
    """The look-ups and counts of a run over some shards, without files: documents are (id, key) pairs."""

    def __init__(self, stored: list[tuple[int, int]], shards: list[list[tuple[int, int]]]) -> None:
        ids, keys = ([pair[part] for pair in dict(stored).items()] for part in (0, 1))
        self.ledger = Ledger.of(entries(ids, keys, [revision(1, 0, False)] * len(ids), [False] * len(ids)))
        self.table = dict.fromkeys(ids, "stored")
        self.shards = dict(enumerate(shards, 1))
        self.arrivals = Arrivals([Shard(str(number), 1, number=number) for number in self.shards])

    def look_up(self, number: int, document: tuple[int, int]) -> tuple[np.ndarray, Outcome, bool]:
        entry = entries([document[0]], [document[1]], [revision(1, number, False)], [False])
        outcomes, existing = self.ledger.outcomes(entry)
        return entry, Outcome(outcomes[0]), bool(existing["in_run"][0])

    def read(self, number: int, limit: int) -> list[tuple[int, tuple[int, int]]]:
        """What a read task emits of a shard, and its end unless the task dies after `limit` documents."""
        account = ShardAccount(str(number), number, "")
        emitted = []
        for document in self.shards[number][:limit]:
            _, outcome, in_run = self.look_up(number, document)
            account.found += 1
            if outcome in (Outcome.NEW, Outcome.REVISED, Outcome.DUPLICATE):
                account.emitted += 1
                emitted.append((number, document))
            elif outcome == Outcome.UNCHANGED:
                account.unchanged += 1
                account.already_written += in_run
            else:
                account.superseded += 1
        if limit >= len(self.shards[number]):
            self.arrivals.close_part(account)
        return emitted

    def arrive(self, number: int, document: tuple[int, int]) -> None:
        entry, outcome, in_run = self.look_up(number, document)
        self.arrivals.count(np.array([number]), changes(np.array([outcome]), np.array([in_run])))
        if admitted(np.array([outcome]))[0]:
            self.ledger.update(entry)
            self.table[document[0]] = "run"
        else:
            self.ledger.record_duplicates(
                entry["id"][[outcome == Outcome.DUPLICATE]], np.array([number])[: outcome == 4]
            )

    @property
    def committed(self) -> int:
        return Counter(self.table.values())["run"]


documents = st.tuples(st.integers(0, 5), st.integers(0, 2))


@given(
    stored=st.lists(documents, max_size=5),
    shards=st.lists(st.lists(documents, max_size=5, unique_by=lambda pair: pair[0]), min_size=1, max_size=4),
    random=st.randoms(use_true_random=False),
)
def test_found_is_accounted_for(stored: list[tuple[int, int]], shards: list[list[tuple[int, int]]], random):
    run = SimulatedRun(stored, shards)
    for attempt in range(3):
        missing = run.arrivals.missing()
        run.arrivals.restart(missing)
        emitted = [
            row for shard in missing for row in run.read(shard.number, 9 if attempt == 2 else random.randrange(7))
        ]
        random.shuffle(emitted)
        for row in emitted[: None if attempt == 2 else random.randrange(len(emitted) + 1)]:
            run.arrive(*row)
        run.arrivals.take_finished()
    arrivals = run.arrivals
    assert arrivals.all_finished
    assert arrivals.found == sum(map(len, shards)) == run.committed + arrivals.unchanged + arrivals.superseded
    assert min(arrivals.unchanged, arrivals.superseded) >= 0
