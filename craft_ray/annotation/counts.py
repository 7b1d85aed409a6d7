"""Counts of a shard as a task has read it, and the change to a run's counts by each document that arrives."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.schema import TRANSIENT_REASONS
from craft_ray.tables.ledger import Outcome

if TYPE_CHECKING:
    from craft_ray.storage.shards import Shard


@dataclass(slots=True)
class ShardAccount:
    """Counts of one shard, or of one part of an archive: found = emitted + unchanged + superseded.

    named:   the name that documents without an id are called by
    already_written: those of the unchanged that this run has committed itself
    titles_alone: found documents that have a title and no other text
    duplicates:   id hashes of unchanged documents that the tables have from an earlier shard
    ids:          id hashes of all that was found, where the run asks for them and in each part
    cut_short:    True if the settings' limit left documents out
    position:     bytes of the file that have been read, or of the part's share of them
    reason:       why the shard could not be read to its end, with its detail; None if it could
    """

    shard: str
    shard_number: int
    named: str
    part: int = 0
    parts: int = 1
    found: int = 0
    emitted: int = 0
    unchanged: int = 0
    already_written: int = 0
    superseded: int = 0
    titles_alone: int = 0
    duplicates: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    cut_short: bool = False
    position: int = 0
    reason: str | None = None
    detail: str | None = None

    @classmethod
    def of(cls, shard: "Shard") -> "ShardAccount":
        """The account of a shard of which nothing is read yet."""
        return cls(shard.name, shard.number, shard.named or shard.name, shard.part, shard.parts)


COUNTED = ("found", "emitted", "unchanged", "already_written", "superseded", "titles_alone")
"""Fields of a ShardAccount that are summed over the parts of a shard, and over shards."""


def merge_parts(parts: Sequence[ShardAccount]) -> ShardAccount | None:
    """Merge the accounts of all parts of a shard; None if one task has to read the shard instead.

    That is so if a part failed in a way that may pass, and if two files of an archive hold documents with the same id:
    one task rejects the second of them, but parts do not know of each other.
    """
    if len(parts) == 1:
        return parts[0]
    ids = {id for part in parts for id in part.ids}
    if len(ids) < sum(len(set(part.ids)) for part in parts) or any(part.reason in TRANSIENT_REASONS for part in parts):
        return None
    first = min(parts, key=lambda part: part.part)  # damage of the archive is the same in all parts
    sums = {name: sum(getattr(part, name) for part in parts) for name in COUNTED}
    return replace(first, **sums, duplicates=[id for part in parts for id in part.duplicates], ids=list(ids))


class Counts(NamedTuple):
    """Numbers of documents; every document that is found counts in exactly one of them.

    committed:  rows of this run in the tables
    unchanged:  documents that are in the tables from an earlier run
    superseded: documents that lost to another revision, or to the same document in another file of this run
    """

    committed: int = 0
    unchanged: int = 0
    superseded: int = 0


CHANGES = {
    # (the look-up says, the existing row is of this run): the change
    (Outcome.NEW, False): Counts(committed=1),
    (Outcome.REVISED, False): Counts(committed=1),
    (Outcome.REVISED, True): Counts(superseded=1),  # it takes the place of a committed row, which is superseded
    (Outcome.SUPERSEDED, False): Counts(superseded=1),
    (Outcome.SUPERSEDED, True): Counts(superseded=1),
    (Outcome.UNCHANGED, False): Counts(unchanged=1),
    (Outcome.UNCHANGED, True): Counts(superseded=1),
    (Outcome.DUPLICATE, False): Counts(unchanged=1),
    (Outcome.DUPLICATE, True): Counts(superseded=1),
}

_TABLE = np.zeros((len(Outcome), 2, len(Counts._fields)), np.int64)
for (_outcome, _in_run), _change in CHANGES.items():
    _TABLE[_outcome, int(_in_run)] = _change


def changes(outcomes: NDArray[np.int8], in_run: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The change that each document makes, shape (documents, 3) in the order of `Counts`."""
    table: NDArray[np.int64] = _TABLE[outcomes, in_run.astype(np.intp)]
    return table


def restart(counts: Counts) -> Counts:
    """The change when a shard is read again, after a reading of it that counted as `counts`.

    What the first reading committed stays in the tables. The second one finds it there, and counts it as superseded.
    """
    return Counts(unchanged=-counts.unchanged, superseded=-counts.superseded - counts.committed)
