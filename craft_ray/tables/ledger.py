"""The ledger: documents that the tables hold, as sorted arrays with one entry per document, and outcomes of new ones.

Revisions of one document are ordered (`identity.revision`), and a deletion is final, so the outcome is the same in
whatever order documents arrive: a late, older revision is superseded and a deleted citation does not come back.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.tables import identity


class Outcome(IntEnum):
    """The outcome of a document that arrives."""

    NEW = 0
    REVISED = 1
    """A revision, deletion or change of a document that the tables hold."""
    UNCHANGED = 2
    SUPERSEDED = 3
    """An older revision than the tables hold, or of a deleted citation."""
    REPEATED = 4
    """What the tables hold, from a later shard."""


class State(IntEnum):
    """Since when the tables hold an entry's document."""

    BEFORE = 0
    WRITTEN = 1
    """This run has written it."""
    WAITING = 2
    """This run will write it, or a better revision."""
    REPEATED = 3
    """The tables held it before, from an earlier shard than the one that its revision names."""


_ENTRY = np.dtype(
    [("id", np.int64), ("key", np.int64), ("revision", np.int64), ("deleted", np.bool_), ("state", np.int8)]
)


def entries(id: Any, key: Any, revision: Any, deleted: Any) -> NDArray[np.void]:
    """Entries from their columns; ids, keys and revisions as in `identity`."""
    table = np.zeros(len(id), _ENTRY)
    table["id"], table["key"], table["revision"], table["deleted"] = id, key, revision, deleted
    return table


@dataclass(slots=True)
class Ledger:
    """Sorted entries: a large base and a small overlay of what came since, merged now and then."""

    base: NDArray[np.void]
    overlay: NDArray[np.void]

    @classmethod
    def of(cls, table: NDArray[np.void]) -> "Ledger":
        """A ledger of entries in any order; of two with one id the later counts."""
        return cls(_sorted(table), np.empty(0, _ENTRY))

    def __len__(self) -> int:
        return len(self.base) + int((~_found(self.base, self.overlay["id"])[1]).sum())

    def outcome(self, id: int, key: int, revision: int, deletes: bool = False) -> Outcome:
        """The outcome of one document."""
        return Outcome(int(self.outcomes(entries([id], [key], [revision], [deletes]))[0]))

    def held(self, id: int) -> np.void:
        """The entry of one document; zeros if there is none."""
        entry: np.void = self.lookup(np.array([id], np.int64))[0][0]
        return entry

    def restate(self, ids: NDArray[np.int64], shard_number: NDArray[np.integer]) -> None:
        """Enter that shards have given documents once more which the tables hold already; (ids,) each."""
        position, found = _found(self.base, ids)
        shards = identity.shard_numbers(self.base["revision"])
        before = shards.copy()
        np.maximum.at(shards, position[found], shard_number[found])  # several may have given one document
        later = np.flatnonzero(shards != before)
        self.base["revision"][later] = identity.restated(self.base["revision"][later], shards[later])
        self.base["state"][later] = State.REPEATED

    def holds(self, id: int) -> bool:
        """True if there is a document with this id that is not deleted."""
        held, known = self.lookup(np.array([id], np.int64))
        return bool(known[0] and not held["deleted"][0])

    def lookup(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """The entry of each id (zeros where there is none), and whether there is one; both (ids,)."""
        held = np.zeros(len(ids), _ENTRY)
        known = np.zeros(len(ids), np.bool_)
        for table in (self.base, self.overlay):
            position, found = _found(table, ids)
            held[found] = table[position[found]]
            known |= found
        return held, known

    def outcomes(self, arriving: NDArray[np.void]) -> NDArray[np.int8]:
        """The outcome of each arriving entry, against the ledger alone; (entries,) of Outcome."""
        held, known = self.lookup(arriving["id"])
        outcome = np.full(len(arriving), Outcome.NEW, np.int8)
        outcome[known] = Outcome.REVISED
        older = held["deleted"] & ~arriving["deleted"] | ~arriving["deleted"] & (
            arriving["revision"] < held["revision"]
        )
        outcome[known & older] = Outcome.SUPERSEDED
        same = known & (arriving["key"] == held["key"])
        outcome[same] = np.where(arriving["revision"] > held["revision"], Outcome.REPEATED, Outcome.UNCHANGED)[same]
        return outcome

    def update(self, arrived: NDArray[np.void], state: State = State.BEFORE) -> None:
        """Enter documents that the tables will now hold; they take the place of entries with their ids."""
        arrived = arrived.copy()
        arrived["state"] = state
        self.overlay = _sorted(np.concatenate([self.overlay, arrived]))
        if len(self.overlay) > 10_000 + len(self.base) // 8:
            self.base, self.overlay = _sorted(np.concatenate([self.base, self.overlay])), np.empty(0, _ENTRY)

    def written(self) -> None:
        """Take in the entries that were waiting: they are in the tables now."""
        for table in (self.base, self.overlay):
            table["state"][table["state"] == State.WAITING] = State.WRITTEN

    def merged(self) -> NDArray[np.void]:
        """All entries, sorted: what readers get to look documents up in."""
        return _sorted(np.concatenate([self.base, self.overlay])) if len(self.overlay) else self.base


def _sorted(table: NDArray[np.void]) -> NDArray[np.void]:
    """Sorted by id, the last of each id kept."""
    table = table[np.argsort(table["id"], kind="stable")]
    last = np.ones(len(table), np.bool_)
    last[:-1] = table["id"][1:] != table["id"][:-1]
    return table[last]


def _found(table: NDArray[np.void], ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each id stands in a sorted table, and whether it does."""
    if len(table) == 0:
        return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
    position = np.minimum(np.searchsorted(table["id"], ids), len(table) - 1)
    return position, table["id"][position] == ids
