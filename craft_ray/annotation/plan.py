"""What a run has to read: the shards, what the tables hold already, and the groups that tasks read."""

import hashlib
import json
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from craft_ray.annotation.account import UpToDate
from craft_ray.annotation.cluster_plan import Plan
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.readers import is_archive_name, read_options
from craft_ray.readers.archives import ITEM_KEY
from craft_ray.storage.shards import Shard, Shards

if TYPE_CHECKING:
    from craft_ray.annotation.catalogue.catalogue import Catalogue
    from craft_ray.annotation.catalogue.existing import Existing
    from craft_ray.core.settings import Settings


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """What a run reads and what it need not read.

    signature:    digest of all that decides the result for a shard of given bytes (`shard_signature`)
    existing:     what the tables hold
    vanished:     files that documents of the tables come from and that the inputs lack, if the run prunes
    unsplittable: numbers of the shards that one task must read
    failures:     runs in a row that failed to read a shard, by its number
    """

    signature: str
    shards: Shards
    existing: "Existing"
    up_to_date: UpToDate
    vanished: frozenset[str]
    unsplittable: frozenset[int]
    failures: dict[int, int]


def shard_signature(checkpoint: Checkpoint, settings: "Settings") -> str:
    """A digest of all that decides the result for a shard of given bytes; another one makes a run read it again."""
    how = [checkpoint.fingerprint, *read_options(settings).signature()]
    return hashlib.blake2b(json.dumps(how).encode(), digest_size=16).hexdigest()


def plan_reading(catalogue: "Catalogue", signature: str, prune: bool, limit: int | None) -> ReadingPlan:
    """Decide what a run reads. If it reads nothing, the tables' documents are not looked at.

    limit: documents to read of each file, None for all
    """
    to_read = catalogue.to_read(signature)
    vanished: frozenset[str] = frozenset()
    if prune:
        found = catalogue.vanished(to_read)
        vanished = found.files
        to_read[found.candidates] = True
    shards, existing = catalogue.shards(to_read, vanished)
    unsplittable = unsplittable_shards(shards, existing, limit)
    failures = catalogue.failures(to_read)
    failed = dict(zip(shards.numbers[failures > 0].tolist(), failures[failures > 0].tolist(), strict=True))
    return ReadingPlan(signature, shards, existing, catalogue.up_to_date(to_read), vanished, unsplittable, failed)


def unsplittable_shards(shards: Sequence[Shard], existing: "Existing", limit: int | None) -> frozenset[int]:
    """Numbers of the shards that one task must read: all if a limit counts the documents of a file.

    Otherwise these are archives of which an item was rejected because another file of the archive has its id.
    """
    if not limit and not existing.rejected:
        return frozenset()
    return frozenset(
        shard.number
        for shard in shards
        if limit or any(ITEM_KEY in doc_id for doc_id in existing.rejected.get(shard.named or shard.name, ()))
    )


class Attempt(IntEnum):
    """How a pass reads what earlier passes did not finish, because processes died."""

    FIRST = 0
    RETRY = 1
    """Like the first: most deaths have nothing to do with the documents."""
    ISOLATE = 2
    """Each document is a block of its own."""
    REJECT = 3
    """Documents that are still missing, and shards that were never read to their end, are rejected."""


MIN_PART_BYTES, MAX_PARTS = 16 << 20, 16
"""Limits for the parts of an archive. Each part unpacks the whole archive, which costs much less than parsing it."""

MAX_GROUP_BYTES, MIN_GROUP_BYTES, MAX_GROUP_FILES = 16 << 20, 64 << 10, 1000


def group_shards(
    shards: Sequence[Shard], plan: Plan, attempt: Attempt, unsplittable: Container[int] = ()
) -> Iterator[list[Shard]]:
    """Yield the shards for each task: small files together, to share its overhead, and large archives in parts.

    unsplittable: numbers of the shards that one task must read

    The largest come first, the others by rank.
    """
    if attempt > Attempt.RETRY:
        yield from ([shard] for shard in shards)
        return
    sizes = Shards.from_shards(shards).sizes
    total = int(sizes.sum())
    target = min(MAX_GROUP_BYTES, max(MIN_GROUP_BYTES, total // (8 * plan.replicas)))
    large = np.flatnonzero(sizes >= target)
    for index in large[np.argsort(-sizes[large], kind="stable")].tolist():
        shard = shards[index]
        parts = 1 if shard.number in unsplittable else _parts(shard, total, plan)
        yield from ([replace(shard, part=part, parts=parts)] for part in range(parts))
    group: list[Shard] = []
    size = 0
    for shard in shards:
        if shard.size >= target:
            continue
        group.append(shard)
        size += shard.size
        if size >= target or len(group) >= MAX_GROUP_FILES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _parts(shard: Shard, total: int, plan: Plan) -> int:
    """Number of parts in which a shard is read, so that no task parses more than its share of all bytes."""
    if not is_archive_name(shard.name) or not shard.size:
        return 1
    return max(1, min(MAX_PARTS, shard.size // MIN_PART_BYTES, math.ceil(plan.read_slots * shard.size / total)))
