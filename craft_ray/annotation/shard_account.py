"""The account of one shard, as the tasks that read it give it in the row that closes it, or one part of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from craft_ray.core.schema import TRANSIENT_REASONS

if TYPE_CHECKING:
    from craft_ray.storage.shards import Shard


@dataclass(slots=True)
class ShardAccount:
    """Counts of one shard, or of one part of an archive: found = emitted + unchanged + superseded.

    named:        the name by which its documents without an id are called
    titles_alone: documents among those found that have a title and no other text
    duplicates:     ids of those unchanged that the tables have from an earlier shard
    ids:          of all that was found, where that is asked for, and in each part
    cut_short:    True if the settings' limit left documents out
    position:     bytes of the file that have been read; in a part, so many of its share
    """

    shard: str
    shard_number: int
    named: str
    part: int = 0
    parts: int = 1
    found: int = 0
    emitted: int = 0
    unchanged: int = 0
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


COUNTS = ("found", "emitted", "unchanged", "superseded", "titles_alone")
"""Fields of a ShardAccount that add up over the parts of a shard, and over shards."""


def joined(ends: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The account of a shard from those of all its parts; None if they do not make up what one task would have read.

    That is so where a part failed by chance, and where two files of an archive hold a document of one id: one task
    rejects the later one, and parts do not know of each other.
    """
    if len(ends) == 1:
        return dict(ends[0])
    ids = [set(end["ids"]) for end in ends]
    together = set().union(*ids)
    if len(together) < sum(map(len, ids)) or any(end["reason"] in TRANSIENT_REASONS for end in ends):
        return None
    first = min(ends, key=lambda end: int(end["part"]))  # which tells of damage, as all do
    sums = {name: sum(int(end[name]) for end in ends) for name in COUNTS}
    return {**first, **sums, "duplicates": [id for end in ends for id in end["duplicates"]], "ids": list(together)}
