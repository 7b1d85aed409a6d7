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
    REPEATED = 4
    """The document that the tables hold, from a later shard."""


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
        ("repeated", np.bool_),
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


@dataclass(slots=True)
class Part:
    """Entries sorted by id, each column an array of its own: 25 bytes per document. (entries,) each."""

    id: NDArray[np.int64]
    key: NDArray[np.int64]
    revision: NDArray[np.int64]
    flags: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def of(cls, table: NDArray[np.void], state: State = State.BEFORE) -> "Part":
        """Entries in any order; of two with one id the later counts."""
        flags = table["deleted"].astype(np.int8) | np.int8(state << _STATE)
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
        for name in ("key", "revision", "flags"):
            setattr(self, name, getattr(self, name)[order])
        return self

    def find(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The place of each id, and whether it is there; (ids,) each."""
        if len(self) == 0:
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        position = np.minimum(np.searchsorted(self.id, ids), len(self) - 1)
        return position, self.id[position] == ids

    def merged(self, later: "Part") -> "Part":
        """Both as one; the later counts where both have an id."""
        columns = ("id", "key", "revision", "flags")
        both = (np.concatenate([getattr(self, name), getattr(later, name)]) for name in columns)
        return Part(*both).in_order()


@dataclass(slots=True)
class Ledger:
    """Entries in parts: a large one, and ever smaller ones of what came since, merged now and then."""

    parts: list[Part] = field(default_factory=list)

    @classmethod
    def of(cls, table: NDArray[np.void]) -> "Ledger":
        """A ledger of entries in any order; of two with one id the later counts."""
        return cls([Part.of(table)])

    def __len__(self) -> int:
        return len(self.merged().parts[0])

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
            held["deleted"][found], held["repeated"][found] = flags & _DELETED != 0, flags & _REPEATED != 0
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
        outcome[same] = np.where(arriving["revision"] > held["revision"], Outcome.REPEATED, Outcome.UNCHANGED)[same]
        return outcome, held

    def update(self, arrived: NDArray[np.void], state: State = State.BEFORE) -> None:
        """Enter documents that the tables will now hold; they take the place of entries with their ids."""
        if not len(arrived):
            return
        self.parts.append(Part.of(arrived, state))
        while len(self.parts) > 1 and len(self.parts[-2]) < GROWTH * len(self.parts[-1]):
            later = self.parts.pop()
            self.parts.append(self.parts.pop().merged(later))

    def repeat(self, ids: NDArray[np.int64], shard_number: NDArray[np.integer]) -> None:
        """Enter that shards have given documents once more which the tables hold already; (ids,) each."""
        left = np.ones(len(ids), np.bool_)
        for part in reversed(self.parts):
            position, found = part.find(ids)
            found &= left
            left &= ~found
            at = np.unique(position[found])
            shards = np.zeros(len(at), np.int64)  # several may have given one document
            np.maximum.at(shards, np.searchsorted(at, position[found]), shard_number[found].astype(np.int64))
            later = shards > identity.shard_numbers(part.revision[at])
            at, shards = at[later], shards[later]
            part.revision[at] = identity.restated(part.revision[at], shards)
            part.flags[at] |= _REPEATED

    def written(self) -> None:
        """Enter that what was waiting is in the tables now."""
        for part in self.parts:
            waiting = part.flags >> _STATE == State.WAITING
            part.flags[waiting] += np.int8((State.WRITTEN - State.WAITING) << _STATE)

    def merged(self) -> "Ledger":
        """The same in one part: what readers get to look documents up in."""
        whole = self.parts[0] if self.parts else Part.of(np.zeros(0, ENTRY))
        for part in self.parts[1:]:
            whole = whole.merged(part)
        return Ledger([whole])
