"""The ledger: one entry per document in the tables, in sorted columns, and the outcome of each document that arrives.

Revisions of one document are totally ordered (`identity.revision`) and a deletion is final. So the outcome does not
depend on the order of arrival: an older revision that comes late is superseded, and a deleted citation stays deleted.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.tables import identity


class Outcome(IntEnum):
    """What the look-up says of an arriving document."""

    NEW = 0
    REVISED = 1
    """A newer revision, a deletion, or another content of an existing document."""
    UNCHANGED = 2
    SUPERSEDED = 3
    """Older than the existing revision, or a revision of a deleted citation."""
    DUPLICATE = 4
    """The existing document again, from a later shard."""


def admitted(outcomes: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Mask of the documents that the tables accept, shape (documents,)."""
    mask: NDArray[np.bool_] = (outcomes == Outcome.NEW) | (outcomes == Outcome.REVISED)
    return mask


ENTRY = np.dtype(
    [
        ("id", np.int64),
        ("key", np.int64),
        ("revision", np.int64),
        ("deleted", np.bool_),
        ("duplicated", np.bool_),
        ("in_run", np.bool_),
    ],
    align=True,  # NumPy copies a column of a packed dtype before it searches it
)
"""An entry. `duplicated`: a later shard than the row's own has the document too, and `revision` carries that shard.
`in_run`: this run has committed the row, or will."""

_DELETED, _DUPLICATED, _IN_RUN = 1, 2, 4
"""Bits of `Part.flags`."""

GROWTH = 8
"""Each part of a ledger is at least this many times as large as the next, so a merge costs as much as it merges."""


def entries(id: Any, key: Any, revision: Any, deleted: Any) -> NDArray[np.void]:
    """Entries from columns of equal length; ids, keys and revisions as in `identity`."""
    table = np.zeros(len(id), ENTRY)
    table["id"], table["key"], table["revision"], table["deleted"] = id, key, revision, deleted
    return table


COLUMNS = ("id", "key", "revision", "flags")
"""Columns of a part."""


@dataclass(slots=True)
class Part:
    """Entries sorted by id, one array per column, 25 bytes per document; shape (entries,) each.

    Arrays are replaced, never written to, so that readers can share them.
    """

    id: NDArray[np.int64]
    key: NDArray[np.int64]
    revision: NDArray[np.int64]
    flags: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.id)

    @classmethod
    def of(cls, table: NDArray[np.void]) -> "Part":
        """Build a part from entries in any order; the last of several entries with one id counts."""
        flags = table["deleted"] * _DELETED | table["duplicated"] * _DUPLICATED | table["in_run"] * _IN_RUN
        return cls(table["id"].copy(), table["key"].copy(), table["revision"].copy(), flags.astype(np.int8)).sort()

    def sort(self) -> "Part":
        """Sort the columns by id in place, keeping the last entry of each id, and return the part."""
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
        """Return the index of each id and whether it exists; shape (ids,) each."""
        if len(self) == 0:
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        index = np.minimum(np.searchsorted(self.id, ids), len(self) - 1)
        return index, self.id[index] == ids

    def merge(self, later: "Part") -> None:
        """Merge a later part, whose entries take precedence. Only one column at a time is in memory twice."""
        insert_at = np.searchsorted(self.id, later.id)
        known = self.find(later.id)[1]
        new = ~known
        index = insert_at + np.cumsum(new) - new
        for name in COLUMNS:
            arriving = getattr(later, name)
            column = np.insert(getattr(self, name), insert_at[new], arriving[new])
            column[index[known]] = arriving[known]
            setattr(self, name, column)


@dataclass(slots=True)
class Ledger:
    """Entries in parts: a large one and ever smaller ones with later updates, merged from time to time."""

    parts: list[Part] = field(default_factory=list)

    @classmethod
    def of(cls, table: NDArray[np.void]) -> "Ledger":
        """Build a ledger from entries in any order; the last of several entries with one id counts."""
        return cls([Part.of(table)])

    def __len__(self) -> int:
        return len(self.merged())

    def __contains__(self, id: int) -> bool:
        """True if a document with this id hash exists and is not deleted."""
        existing, known = self.lookup(np.array([id], np.int64))
        return bool(known[0] and not existing["deleted"][0])

    def lookup(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """Return the entry of each id (zeros if there is none) and whether there is one; shape (ids,) each."""
        ids = np.ascontiguousarray(ids)
        existing = np.zeros(len(ids), ENTRY)
        known = np.zeros(len(ids), np.bool_)
        for part in self.parts:
            index, found = part.find(ids)
            index = index[found]
            flags = part.flags[index]
            existing["id"][found], existing["key"][found] = part.id[index], part.key[index]
            existing["revision"][found] = part.revision[index]
            existing["deleted"][found] = flags & _DELETED != 0
            existing["duplicated"][found] = flags & _DUPLICATED != 0
            existing["in_run"][found] = flags & _IN_RUN != 0
            known |= found
        return existing, known

    def outcomes(self, arriving: NDArray[np.void]) -> tuple[NDArray[np.int8], NDArray[np.void]]:
        """Return the outcome of each arriving entry, judged alone, and the existing entry; shape (entries,) each.

        Raises RunError if an existing entry is of another document, whose id has the same hash.
        """
        existing, known = self.lookup(arriving["id"])
        identity.refuse_collisions(arriving["key"][known], existing["key"][known])
        outcome = np.full(len(arriving), Outcome.NEW, np.int8)
        outcome[known] = Outcome.REVISED
        older = arriving["revision"] < existing["revision"]
        superseded = np.where(arriving["deleted"], existing["deleted"] & older, existing["deleted"] | older)
        outcome[known & superseded] = Outcome.SUPERSEDED
        same = known & (arriving["key"] == existing["key"])
        outcome[same] = np.where(arriving["revision"] > existing["revision"], Outcome.DUPLICATE, Outcome.UNCHANGED)[
            same
        ]
        return outcome, existing

    def update(self, arrived: NDArray[np.void]) -> None:
        """Enter documents of this run that the tables accept; they replace the entries with their ids."""
        arrived = arrived.copy()
        arrived["in_run"] = True
        self._append(arrived)

    def record_duplicates(self, ids: NDArray[np.int64], shard_numbers: NDArray[np.integer]) -> None:
        """Note that shards have given existing documents again; ids may occur several times; shape (ids,) each."""
        ids, index = np.unique(ids, return_inverse=True)
        shards = np.zeros(len(ids), np.int64)
        np.maximum.at(shards, index, shard_numbers.astype(np.int64))
        existing, known = self.lookup(ids)
        later = known & (shards > identity.shard_numbers(existing["revision"]))
        existing = existing[later]
        existing["revision"] = identity.with_latest_shard(existing["revision"], shards[later])
        existing["duplicated"] = True
        self._append(existing)

    def merged(self) -> Part:
        """Merge all parts into one and return it; it stays the ledger's own."""
        if not self.parts:
            self.parts.append(Part.of(np.zeros(0, ENTRY)))
        while len(self.parts) > 1:
            self._merge_last()
        return self.parts[0]

    def _append(self, table: NDArray[np.void]) -> None:
        if not len(table):
            return
        self.parts.append(Part.of(table))
        while len(self.parts) > 1 and len(self.parts[-2]) < GROWTH * len(self.parts[-1]):
            self._merge_last()

    def _merge_last(self) -> None:
        later = self.parts.pop()
        self.parts[-1].merge(later)
