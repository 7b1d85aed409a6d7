"""The documents that the tables hold, one entry each, as sorted columns; and what becomes of a document that arrives.

Revisions of one document are ordered (`identity.revision`), and a deletion is final, so the outcome is the same in
whatever order documents arrive: a late, older revision is superseded and a deleted citation does not come back.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.tables import identity


class Outcome(IntEnum):
    """How a document that arrives is treated."""

    NEW = 0
    REVISED = 1
    """A revision, deletion or change of a document that the tables hold."""
    UNCHANGED = 2
    SUPERSEDED = 3
    """An older revision than the tables hold, or of a deleted citation."""
    DUPLICATE = 4
    """The document that the tables hold, from a later shard."""


def admitted(outcomes: NDArray[np.int8]) -> NDArray[np.bool_]:
    """True for documents that the tables take in, by their outcomes; (documents,)."""
    taken: NDArray[np.bool_] = (outcomes == Outcome.NEW) | (outcomes == Outcome.REVISED)
    return taken


class State(IntEnum):
    """Since when the tables hold an entry's document."""

    BEFORE = 0
    WRITTEN = 1
    """This run has written it."""
    WAITING = 2
    """This run will write it, or a better revision."""


ENTRY = np.dtype(
    [
        ("id", np.int64),
        ("key", np.int64),
        ("revision", np.int64),
        ("deleted", np.bool_),
        ("duplicate", np.bool_),
        ("state", np.int8),
    ],
    align=True,  # else NumPy copies a column before it searches it
)
"""An entry; `repeated` if a later shard than the one that the tables name has given the document once more."""

_DELETED, _REPEATED, _STATE = 1, 2, 2
"""Bits of `Part.flags`, and the place of the state above them."""

GROWTH = 8
"""Each part of a ledger is at least so many times as large as the next; a merge costs what it merges."""


def entries(id: Any, key: Any, revision: Any, deleted: Any) -> NDArray[np.void]:
    """Entries from their columns; ids, keys and revisions as in `identity`."""
    table = np.zeros(len(id), ENTRY)
    table["id"], table["key"], table["revision"], table["deleted"] = id, key, revision, deleted
    return table


COLUMNS = ("id", "key", "revision", "flags")
"""Those of a part."""


@dataclass(slots=True)
class Part:
    """Entries sorted by id, each column an array of its own: 25 bytes per document. (entries,) each.

    No array is written to once it is here, so that readers may share them; others take their place.
    """

    id: NDArray[np.int64]
    key: NDArray[np.int64]
    revision: NDArray[np.int64]
    flags: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def of(cls, table: NDArray[np.void]) -> "Part":
        """Entries in any order; of two with one id the later counts."""
        flags = (
            table["deleted"] * np.int8(_DELETED) | table["duplicate"] * np.int8(_REPEATED) | table["state"] << _STATE
        )
        return cls(table["id"].copy(), table["key"].copy(), table["revision"].copy(), flags).in_order()

    def in_order(self) -> "Part":
        """The part itself, its columns now in order of ids, of which the last of each is kept."""
        order: NDArray[Any] = np.argsort(self.id, kind="stable")
        if len(order) < 1 << 32:
            order = order.astype(np.uint32)
        self.id = self.id[order]
        repeats = self.id[1:] == self.id[:-1]
        if repeats.any():
            last = np.append(~repeats, True)
            self.id, order = self.id[last], order[last]
        for name in COLUMNS[1:]:
            setattr(self, name, getattr(self, name)[order])
        return self

    def find(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The place of each id, and whether it is there; (ids,) each."""
        if len(self) == 0:
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        position = np.minimum(np.searchsorted(self.id, ids), len(self) - 1)
        return position, self.id[position] == ids

    def take_in(self, later: "Part") -> None:
        """Enter another part, which counts where both have an id; one column at a time is in memory twice."""
        at = np.searchsorted(self.id, later.id)
        known = self.find(later.id)[1]
        new = ~known
        place = at + np.cumsum(new) - new
        for name in COLUMNS:
            arriving = getattr(later, name)
            column = np.insert(getattr(self, name), at[new], arriving[new])
            column[place[known]] = arriving[known]
            setattr(self, name, column)


@dataclass(slots=True)
class Ledger:
    """Entries in parts: a large one, and ever smaller ones of what came since, merged now and then."""

    parts: list[Part] = field(default_factory=list)

    @classmethod
    def of(cls, table: NDArray[np.void]) -> "Ledger":
        """A ledger of entries in any order; of two with one id the later counts."""
        return cls([Part.of(table)])

    def __len__(self) -> int:
        return len(self.joined())

    def held(self, id: int) -> np.void:
        """The entry of one document; zeros if there is none."""
        entry: np.void = self.lookup(np.array([id], np.int64))[0][0]
        return entry

    def holds(self, id: int) -> bool:
        """True if there is a document with this id that is not deleted."""
        held, known = self.lookup(np.array([id], np.int64))
        return bool(known[0] and not held["deleted"][0])

    def lookup(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """The entry of each id (zeros where there is none), and whether there is one; both (ids,)."""
        ids = np.ascontiguousarray(ids)
        held = np.zeros(len(ids), ENTRY)
        known = np.zeros(len(ids), np.bool_)
        for part in self.parts:
            position, found = part.find(ids)
            position = position[found]
            flags = part.flags[position]
            held["id"][found], held["key"][found] = part.id[position], part.key[position]
            held["revision"][found], held["state"][found] = part.revision[position], flags >> _STATE
            held["deleted"][found], held["duplicate"][found] = flags & _DELETED != 0, flags & _REPEATED != 0
            known |= found
        return held, known

    def outcome(self, id: int, key: int, revision: int, deletes: bool = False) -> Outcome:
        """The outcome of one document."""
        return Outcome(int(self.outcomes(entries([id], [key], [revision], [deletes]))[0][0]))

    def outcomes(self, arriving: NDArray[np.void]) -> tuple[NDArray[np.int8], NDArray[np.void]]:
        """The outcome of each arriving entry against the ledger alone, and the entry held; (entries,) each."""
        held, known = self.lookup(arriving["id"])
        outcome = np.full(len(arriving), Outcome.NEW, np.int8)
        outcome[known] = Outcome.REVISED
        older = held["deleted"] & ~arriving["deleted"] | ~arriving["deleted"] & (
            arriving["revision"] < held["revision"]
        )
        outcome[known & older] = Outcome.SUPERSEDED
        same = known & (arriving["key"] == held["key"])
        outcome[same] = np.where(arriving["revision"] > held["revision"], Outcome.DUPLICATE, Outcome.UNCHANGED)[same]
        return outcome, held

    def update(self, arrived: NDArray[np.void], state: State = State.BEFORE) -> None:
        """Enter documents that the tables will now hold; they take the place of entries with their ids."""
        arrived = arrived.copy()
        arrived["state"] = state
        self._enter(arrived)

    def _enter(self, table: NDArray[np.void]) -> None:
        if not len(table):
            return
        self.parts.append(Part.of(table))
        while len(self.parts) > 1 and len(self.parts[-2]) < GROWTH * len(self.parts[-1]):
            self._join_last()

    def record_duplicates(self, ids: NDArray[np.int64], shard_number: NDArray[np.integer]) -> None:
        """Enter that shards have given documents once more which the tables hold already; (ids,) each."""
        ids, at = np.unique(ids, return_inverse=True)
        shards = np.zeros(len(ids), np.int64)  # several may have given one document
        np.maximum.at(shards, at, shard_number.astype(np.int64))
        held, known = self.lookup(ids)
        later = known & (shards > identity.shard_numbers(held["revision"]))
        held = held[later]
        held["revision"] = identity.with_latest_shard(held["revision"], shards[later])
        held["duplicate"] = True
        self._enter(held)

    def written(self) -> None:
        """Enter that what was waiting is in the tables now."""
        for part in self.parts:
            waiting = part.flags >> _STATE == State.WAITING
            if waiting.any():
                part.flags = part.flags + waiting * np.int8((State.WRITTEN - State.WAITING) << _STATE)

    def joined(self) -> Part:
        """All entries in one part, which stays the ledger's own."""
        if not self.parts:
            self.parts.append(Part.of(np.zeros(0, ENTRY)))
        while len(self.parts) > 1:
            self._join_last()
        return self.parts[0]

    def _join_last(self) -> None:
        later = self.parts.pop()
        self.parts[-1].take_in(later)
