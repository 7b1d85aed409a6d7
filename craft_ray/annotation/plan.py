"""The shards that a run has to read, and their grouping into tasks."""

import hashlib
import json
import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from craft_ray.annotation.account import Account, Timeline
from craft_ray.annotation.cluster_plan import Plan
from craft_ray.annotation.finished import Finished, read_needed
from craft_ray.annotation.naming import names_by_path
from craft_ray.annotation.prune import BATCH, ORIGIN, Vanished, find_vanished
from craft_ray.core.version import __version__
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.readers import ITEM_KEY, is_archive_name, read_options
from craft_ray.storage.shards import Listing, Shard, Shards

if TYPE_CHECKING:
    from craft_ray.core.settings import Settings
    from craft_ray.tables.known import Known
    from craft_ray.tables.writer import Tables


def shard_signature(checkpoint: Checkpoint, settings: "Settings") -> str:
    """A digest of all that decides what a shard of given bytes becomes; a shard with another one is read again."""
    how = [__version__, checkpoint.fingerprint, *read_options(settings).signature()]
    return hashlib.blake2b(json.dumps(how).encode(), digest_size=16).hexdigest()


def plan_shards(
    tables: "Tables",
    finished: Finished,
    listing: Listing,
    checkpoint: Checkpoint,
    settings: "Settings",
    began: float,
) -> "tuple[Account, Known, str, Vanished]":
    """The account of a run before it begins, what the tables hold, the signature of its shards, and what is gone.

    finished: what the table `shards` has of the files listed

    A shard is read if it has changed since it was read, would now be read in another way, or could not be read by
    chance. One that is broken for good is not opened again, but counted as broken in each run. If none is read, what
    the tables hold need not be known.
    """
    from craft_ray.tables.known import Known, read_known  # with deltalake, which read tasks do without

    signature = shard_signature(checkpoint, settings)
    unread = finished.known(signature)
    vanished = Vanished()
    if settings.prune:
        vanished = find_vanished(tables.documents.iter_batches(ORIGIN, BATCH), listing, ~unread, finished)
        unread[vanished.others] = False
    broken = np.flatnonzero(unread & finished.broken)
    why = {shard.name: finished.details[at] for shard, at in zip(listing.shards(broken), broken.tolist(), strict=True)}
    of_known = (int(np.count_nonzero(unread)) - len(broken), int(finished.found[unread].sum()))
    known, shards = Known.nothing(), listing.shards(np.flatnonzero(~unread) if unread.any() else None)
    if shards:
        finished_shards = read_needed(tables, listing, ~unread)
        shards = shards.with_names(names_by_path(shards, listing.index, finished_shards, tables.exists))
        known = read_known(tables.documents, shards, finished_shards, vanished.shards)
        shards = shards.with_numbers(known.numbers)
    account = Account(shards, listing.passed_over, of_known, why, Timeline(began), settings.prune)
    account.read_whole = read_whole(shards, known, settings.limit)
    return account, known, signature, vanished


def read_whole(shards: Sequence[Shard], known: "Known", limit: int | None) -> set[int]:
    """Numbers of the shards that one task must read from the first: a limit counts the documents of a file.

    So must archives of which the tables have rejected items for an id that another file of theirs had given.
    """
    if not limit and not known.rejected:
        return set()
    return {
        shard.number
        for shard in shards
        if limit or any(ITEM_KEY in doc_id for doc_id in known.rejected.get(shard.named or shard.name, ()))
    }


class Attempt(IntEnum):
    """How a pass treats what earlier passes did not bring through: blocks that ended their process each time."""

    FIRST = 0
    RETRY = 1
    """Lost by chance, a shard comes through now."""
    ISOLATE = 2
    """Each document is a block of its own."""
    REJECT = 3
    """Documents still missing, and shards that were not read to their end, are rejected."""


SMALLEST_PART, MOST_PARTS = 16 << 20, 16
"""Bytes of the parts of an archive, at the least, and their number at the most. Each part unpacks the whole archive,
which costs a small part of what parsing it costs (`tests/scale/archive.py`)."""


def group_shards(
    shards: Sequence[Shard], plan: Plan, attempt: Attempt, undivided: Container[int] = ()
) -> Iterator[list[Shard]]:
    """Shards for one task: small files together, so that Ray's cost per task is hidden, and large archives in parts.

    undivided: numbers of the shards that one task must read

    Those that take longest come first, the others by rank.
    """
    if attempt > Attempt.RETRY:
        yield from ([shard] for shard in shards)
        return
    sizes = Shards.from_shards(shards).sizes
    total = int(sizes.sum())
    target = min(16 << 20, max(64 << 10, total // (8 * plan.replicas)))
    large = np.flatnonzero(sizes >= target)
    for at in large[np.argsort(-sizes[large], kind="stable")].tolist():
        shard = shards[at]
        parts = 1 if shard.number in undivided else _parts(shard, total, plan)
        yield from ([replace(shard, part=part, parts=parts)] for part in range(parts))
    group: list[Shard] = []
    size = 0
    for shard in shards:
        if shard.size >= target:
            continue
        group.append(shard)
        size += shard.size
        if size >= target or len(group) >= 1000:
            yield group
            group, size = [], 0
    if group:
        yield group


def _parts(shard: Shard, total: int, plan: Plan) -> int:
    """In how many parts a shard is read, so that no task has more to parse than its share of the bytes of all."""
    if not is_archive_name(shard.name) or not shard.size:
        return 1
    return max(1, min(MOST_PARTS, shard.size // SMALLEST_PART, math.ceil(plan.read_slots * shard.size / total)))
