"""Progress of a run per shard: documents and bytes received, and the account that completes a shard."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from craft_ray.annotation.counts import COUNTED, Counts, ShardAccount, merge_parts, restart
from craft_ray.storage.shards import Shard, Shards


@dataclass(slots=True)
class _PendingShard:
    """A shard of which something has arrived, until it is finished.

    counts:     what its documents changed when they arrived at the driver
    parts:      accounts of the parts that have closed
    account:    the account of the whole shard, once all parts have closed
    duplicates: id hashes of documents that proved to be duplicates only at the driver
    positions:  bytes read, by part
    """

    counts: Counts = field(default_factory=Counts)
    parts: dict[int, ShardAccount] = field(default_factory=dict)
    account: ShardAccount | None = None
    duplicates: list[int] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """True if the shard has closed and all its documents have arrived."""
        return self.account is not None and self.account.emitted == sum(self.counts)


class Arrivals:
    """Tracks the shards that a run reads until each is finished. A finished shard takes one byte of memory.

    shards:   the shards to read, each with a number of its own
    keep_ids: whether to keep the ids of all documents found
    """

    def __init__(self, shards: Sequence[Shard] = (), keep_ids: bool = False) -> None:
        self.shards = Shards.from_shards(shards)
        order = np.argsort(self.shards.numbers, kind="stable")
        if not np.array_equal(order, np.arange(len(order))):
            self.shards = self.shards.take(order)
        self.numbers = self.shards.numbers
        """Shard numbers, sorted; shape (shards,)."""
        self._sizes = self.shards.sizes
        self._finished = np.zeros(len(self.shards), np.bool_)
        self._pending: dict[int, _PendingShard] = {}
        self._keep_ids = keep_ids
        self._counts = Counts()
        """Totals over all documents received by the driver."""
        self._closed: Counter[str] = Counter()
        """Sums of COUNTED over the shards that have closed."""
        self.ids: list[NDArray[np.int64]] = []
        """Id hashes of all documents found in finished shards, if they are kept."""
        self.unsplittable: set[int] = set()
        """Numbers of the shards that must be read by one task."""
        self.shards_closed = 0
        self.bytes_done = 0
        self.bytes_total = int(self._sizes.sum())

    def close_part(self, part: ShardAccount) -> None:
        """Note that a part of a shard has been read to its end, and close the shard with its last part."""
        number = part.shard_number
        size = int(self._sizes[self.numbers.searchsorted(number)])
        share = size // part.parts
        self.read_to(number, part.part, share if part.part else size - share * (part.parts - 1))
        pending = self._pending.setdefault(number, _PendingShard())
        pending.parts[part.part] = part
        if len(pending.parts) == part.parts:
            pending.account = merge_parts(list(pending.parts.values()))
            if pending.account is None:
                self.unsplittable.add(number)
            else:
                self._add_closed(pending.account, 1)

    def read_to(self, number: int, part: int, position: int) -> None:
        """Count the bytes of a part up to a position; positions may come in any order."""
        index = self.numbers.searchsorted(number)
        if self._finished[index]:
            return
        positions = self._pending.setdefault(number, _PendingShard()).positions
        before = positions.get(part, 0)
        positions[part] = max(before, min(position, int(self._sizes[index])))
        self.bytes_done += positions[part] - before

    def count(self, shard_numbers: NDArray[np.integer], changes: NDArray[np.int64]) -> None:
        """Count documents that have arrived.

        shard_numbers: shape (documents,)
        changes:       how each changes the counts, shape (documents, 3) (`counts.changes`)
        """
        numbers, index = np.unique(shard_numbers, return_inverse=True)
        sums = np.zeros((len(numbers), len(Counts._fields)), np.int64)
        np.add.at(sums, index, changes)
        for number, change in zip(numbers.tolist(), sums.tolist(), strict=True):
            self._change(number, Counts(*change))

    def count_superseded(self, superseded: dict[int, int]) -> None:
        """Count documents by shard number that lost to another revision before they reached the driver."""
        for number, documents in superseded.items():
            self._change(number, Counts(superseded=documents))

    def _change(self, number: int, change: Counts) -> None:
        pending = self._pending.setdefault(number, _PendingShard())
        pending.counts = _sum(pending.counts, change)
        self._counts = _sum(self._counts, change)

    def add_duplicates(self, shard_numbers: Iterable[int], ids: Iterable[int]) -> None:
        """Note id hashes of documents that are duplicates of rows from other shards."""
        for number, id in zip(shard_numbers, ids, strict=True):
            self._pending.setdefault(number, _PendingShard()).duplicates.append(id)

    def take_finished(self) -> list[tuple[Shard, ShardAccount]]:
        """Finish the shards that have closed with all their documents, and return them with their accounts.

        Call it when everything that has arrived is committed.
        """
        numbers = sorted(number for number, pending in self._pending.items() if pending.complete)
        index = self.numbers.searchsorted(numbers)
        self._finished[index] = True
        finished = []
        for shard in self.shards.take(index):
            pending = self._pending.pop(shard.number)
            assert pending.account is not None
            pending.account.duplicates = sorted({*pending.account.duplicates, *pending.duplicates})
            finished.append((shard, pending.account))
        if self._keep_ids:
            self.ids.append(np.array([id for _, account in finished for id in account.ids], np.int64))
        return finished

    def missing(self) -> Shards:
        """The shards that are not finished."""
        return self.shards.take(np.flatnonzero(~self._finished)) if self._finished.any() else self.shards

    def never_closed(self) -> set[int]:
        """Numbers of the shards of which not even the end has arrived."""
        closed = {number for number, pending in self._pending.items() if pending.account is not None}
        return set(self.numbers[~self._finished].tolist()) - closed

    def restart(self, shards: Sequence[Shard]) -> None:
        """Forget what has arrived of shards that are read again. What was committed is found in the tables then."""
        for number in np.intersect1d(list(self._pending), Shards.from_shards(shards).numbers).tolist():
            pending = self._pending.pop(number)
            self._counts = _sum(self._counts, restart(pending.counts))
            self.bytes_done -= sum(pending.positions.values())
            if pending.account is not None:
                self._add_closed(pending.account, -1)

    def _add_closed(self, account: ShardAccount, sign: int) -> None:
        self.shards_closed += sign
        for name in COUNTED:
            self._closed[name] += sign * getattr(account, name)

    @property
    def all_finished(self) -> bool:
        return bool(self._finished.all())

    @property
    def found(self) -> int:
        """Documents found in closed shards."""
        return self._closed["found"]

    @property
    def titles_alone(self) -> int:
        return self._closed["titles_alone"]

    @property
    def unchanged(self) -> int:
        """Documents that the tables have from an earlier run."""
        return self._counts.unchanged + self._closed["unchanged"] - self._closed["already_written"]

    @property
    def superseded(self) -> int:
        """Documents that lost to another revision, or to the same document in another file of this run."""
        return self._counts.superseded + self._closed["superseded"] + self._closed["already_written"]


def _sum(one: Counts, other: Counts) -> Counts:
    return Counts(*(a + b for a, b in zip(one, other, strict=True)))
