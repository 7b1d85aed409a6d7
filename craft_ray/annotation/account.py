"""The account of a run, live and at its end, and its timeline."""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.annotation.shard_account import COUNTS, joined
from craft_ray.storage.shards import Shard, Shards
from craft_ray.tables import identity
from craft_ray.tables.blocks import RETRACTED, WrittenBlock

LISTED = 100
"""Broken shards and passed-over files that a summary names; of further ones it gives the number."""

POINTS = 200
"""Moments of a run at which its record tells how far it had come."""


@dataclass(slots=True)
class Timeline:
    """When a run reached each of its steps, and how far it had come at each commit; times of the monotonic clock.

    steps:   seconds from the start to the first time that each was reached
    commits: the time of each, and the documents and tokens committed by then
    """

    started: float = field(default_factory=time.monotonic)
    steps: dict[str, float] = field(default_factory=dict)
    commits: list[tuple[float, int, int]] = field(default_factory=list)

    def reached(self, step: str, at: float | None = None) -> None:
        """Note that a step is reached, now or at a given time."""
        self.steps.setdefault(step, round((at or time.monotonic()) - self.started, 3))

    def committed(self, documents: int, tokens: int) -> None:
        """Note a commit of so many documents and tokens."""
        self.reached("first_commit")
        _, before, tokens_before = self.commits[-1] if self.commits else (0.0, 0, 0)
        self.commits.append((time.monotonic(), before + documents, tokens_before + tokens))

    @property
    def steady_rate(self) -> float | None:
        """Tokens per second between the first commit and the last, which leaves starting and closing out."""
        if len(self.commits) < 2:
            return None
        (began, _, first), (ended, _, last) = self.commits[0], self.commits[-1]
        return (last - first) / (ended - began)

    def progress(self) -> list[list[float]]:
        """How far the run had come: seconds from the start, and documents and tokens committed by then.

        A row per commit, or POINTS of them that are evenly spread, the last among them.
        """
        every = math.ceil(len(self.commits) / POINTS)
        kept = self.commits[::-1][:: every or 1][::-1]
        return [[round(at - self.started, 3), documents, tokens] for at, documents, tokens in kept]


@dataclass(slots=True)
class Account:
    """The account of every shard and every document; it grows as blocks arrive and are committed.

    shards:      the shards to read, each with a number of its own
    passed_over: files that are no input by their names
    known:       whole shards that need not be read, and the documents in all that need not
    known_broken: shards that need not be read since their content is broken as it was before, and why
    with_ids:     whether the ids of all that is found are kept
    """

    shards: Sequence[Shard]
    passed_over: Sequence[str] = ()
    known: tuple[int, int] = (0, 0)
    known_broken: Mapping[str, str] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    with_ids: bool = False
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    with_id: Counter[str] = field(default_factory=Counter)
    precisions: Counter[str] = field(default_factory=Counter)
    """Committed documents that the model has read, by the number format of its answers."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Mentions left out by score or by `grounded_only`, by label; those of a document revised within the run too."""
    exact: bool = True
    """True if `statuses`, `reasons` and `labels` are what stands in the tables of this run."""
    tokens: int = 0
    superseded: int = 0
    bytes_done: int = 0
    """Bytes of files that have been read, also of files that are not at their end."""
    bytes_total: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    """The first shards that cannot be read to their end, and why."""
    _parts: dict[int, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """By shard, the accounts of its parts that have closed, until it is finished."""
    _ends: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Accounts of shards that have closed, until they are finished."""
    read_whole: set[int] = field(default_factory=set)
    """Numbers of the archives that one task must read, since their parts do not make up what it would read."""
    _finished: NDArray[np.bool_] = field(init=False)
    """True for shards that have closed with all their documents; by rank, as `numbers`."""
    _sums: Counter[str] = field(default_factory=Counter)
    """Over finished shards."""
    to_read_again: set[int] = field(default_factory=set)
    """Numbers of the shards that the next run reads again: documents of them failed, or were left out by a limit."""
    given: list[NDArray[np.int64]] = field(default_factory=list)
    """Ids of all that was found in finished shards, where they are asked for."""
    pruned: int = 0
    """Documents that were removed, for their files are gone."""
    cut_short: int = 0
    """Shards of which a limit left documents out."""
    _received: Counter[int] = field(default_factory=Counter)
    _repeated: dict[int, list[int]] = field(default_factory=dict)
    """By shard, ids of documents that the tables had from an earlier one, until it is finished."""
    _unchanged: int = 0
    """Documents that proved unchanged only when they arrived."""
    _redone: int = 0
    """Documents that had been received when their shards were read again."""
    _positions: dict[int, dict[int, int]] = field(default_factory=dict)
    """By shard and part, how many of its bytes have been read, until it is finished."""
    _ranked: Shards = field(init=False)
    """The shards in columns, by rank."""
    numbers: NDArray[np.int64] = field(init=False)
    """Of the shards, sorted; (shards,)."""
    _sizes: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        shards = Shards.from_shards(self.shards)
        order = np.argsort(shards.numbers, kind="stable")
        self._ranked = shards if np.array_equal(order, np.arange(len(order))) else shards.take(order)
        self.numbers, self._sizes = self._ranked.numbers, self._ranked.sizes
        self._finished = np.zeros(len(shards), np.bool_)
        self.bytes_total = int(self._sizes.sum())
        self.broken = dict(islice(self.known_broken.items(), LISTED))

    def arrived(self, block: WrittenBlock) -> None:
        """Count a block's documents and closed shards as received."""
        self.timeline.reached("first_block")
        self.tokens += block.tokens
        for number, status, reason in zip(block.shard_number.tolist(), block.status, block.reason, strict=True):
            if status != RETRACTED:
                self._received[number] += 1
            if reason == "failed":
                self.to_read_again.add(number)
        for number, dropped in block.superseded.items():
            self._received[number] += dropped
            self.superseded += dropped
        for (number, part), position in block.positions.items():
            self._read_to(number, part, position)
        for end in block.shard_ends:
            self._closed(end)

    def _closed(self, end: dict[str, Any]) -> None:
        """Note that a part of a shard has closed, and the shard if it is the last one."""
        number, part = end["shard_number"], end["part"]
        self._read_to(number, part, _share(int(self._sizes[self.numbers.searchsorted(number)]), end))
        parts = self._parts.setdefault(number, {})
        parts[part] = end
        if len(parts) < end["parts"]:
            return
        if (whole := joined(list(parts.values()))) is not None:
            self._ends[number] = whole
        else:
            self.read_whole.add(number)

    def _read_to(self, number: int, part: int, position: int) -> None:
        """Count a shard's bytes up to a position of a part's share, where blocks come in any order."""
        place = self.numbers.searchsorted(number)
        if self._finished[place]:
            return
        positions = self._positions.setdefault(number, {})
        before = positions.get(part, 0)
        positions[part] = max(before, min(position, int(self._sizes[place])))
        self.bytes_done += positions[part] - before

    def received(self, revisions: NDArray[np.int64]) -> None:
        """Count rows that are in no file as received; (rows,) revisions, which name their shards."""
        self._received.update(identity.shard_numbers(revisions).tolist())

    def duplicates(self, entries: NDArray[np.void], unchanged: int) -> None:
        """Note documents that later shards have given once more, so many of which the tables held before the run."""
        self._unchanged += unchanged
        numbers = identity.shard_numbers(entries["revision"]).tolist()
        for number, id in zip(numbers, entries["id"].tolist(), strict=True):
            self._repeated.setdefault(number, []).append(id)

    def corrected(self, documents: int) -> None:
        """Note documents that took the place of what their own shards gave in this run, which count for nothing.

        Two files of an archive that have one id are told from each other only when one task reads both.
        """
        self._redone -= documents

    def wrote(self, blocks: Sequence[WrittenBlock]) -> None:
        """Count the documents and entities of one commit's blocks as committed."""
        documents = sum(len(block.status) for block in blocks)
        self.timeline.committed(documents, sum(block.tokens for block in blocks))
        for block in blocks:
            self.statuses.update(status for status in block.status if status != RETRACTED)
            self.reasons.update(reason for reason in block.reason if reason)
            self.labels.update(block.labels)
            self.precisions.update(block.precisions)
            self.with_id.update(block.with_id)
            self.left_out.update(block.left_out)

    def take_finished(self) -> list[tuple[Shard, dict[str, Any]]]:
        """Shards that have closed with all their documents since the last call, and the account of each.

        To be called when all that arrived is committed.
        """
        numbers = [number for number, end in self._ends.items() if end["emitted"] == self._received[number]]
        places = self.numbers.searchsorted(numbers)
        self._finished[places] = True
        whole = [(shard, self._ends[shard.number]) for shard in self._ranked.take(places)]
        for shard, end in whole:
            self._sums.update({name: int(end[name]) for name in COUNTS})
            if end.get("cut_short"):
                self.to_read_again.add(shard.number)
                self.cut_short += 1
            if end["reason"]:
                self._sums["broken"] += 1
                if len(self.broken) < LISTED:
                    self.broken[shard.name] = f"{end['reason']}: {end['detail']}"
            end["duplicates"] = sorted({*end["duplicates"], *self._repeated.pop(shard.number, ())})
            del self._ends[shard.number], self._parts[shard.number], self._received[shard.number]
            self._positions.pop(shard.number, None)
        if self.with_ids:
            self.given.append(np.array([id for _, end in whole for id in end["ids"]], np.int64))
        return whole

    def missing(self) -> Shards:
        """Shards that are not finished."""
        return self._ranked.take(np.flatnonzero(~self._finished)) if self._finished.any() else self._ranked

    def unread(self) -> set[int]:
        """Numbers of the shards that have not even closed."""
        return set(self.numbers[~self._finished].tolist()) - set(self._ends)

    def forget(self, shards: Sequence[Shard]) -> None:
        """Make ready to read shards again; what arrived of them is in the tables and will be found unchanged there."""
        began = list({*self._received, *self._repeated, *self._ends, *self._parts, *self._positions})
        for number in np.intersect1d(began, Shards.from_shards(shards).numbers).tolist():
            self._redone += self._received.pop(number, 0)
            self._repeated.pop(number, None)
            self._ends.pop(number, None)
            self._parts.pop(number, None)
            self.bytes_done -= sum(self._positions.pop(number, {}).values())

    @property
    def shards_done(self) -> int:
        """Shards that have closed."""
        return int(np.count_nonzero(self._finished)) + len(self._ends)

    @property
    def found(self) -> int:
        """Documents found in all closed and all known shards."""
        return self._sum("found") + self.known[1]

    @property
    def unchanged(self) -> int:
        """Documents that the tables held already."""
        return self._sum("unchanged") + self.known[1] + self._unchanged - self._redone

    @property
    def unreadable(self) -> int:
        """Shards that cannot be read to their end, also those that were not tried again."""
        return self._sums["broken"] + len(self.known_broken)

    @property
    def committed(self) -> int:
        """Documents written by this run."""
        return sum(self.statuses.values())

    @property
    def _read_whole(self) -> int:
        return self.shards_done - self._sums["broken"]

    @property
    def accounted(self) -> int:
        """Documents of which it is known what became of them."""
        return self.committed + self.unchanged + self.superseded + self._sum("superseded")

    def _sum(self, name: str) -> int:
        return self._sums[name] + sum(int(end[name]) for end in self._ends.values())

    def adds_up(self) -> bool:
        """True if each document found is accounted for."""
        return bool(self._finished.all()) and self.found == self.accounted

    @property
    def status(self) -> str:
        """Status of a finished run, for a scheduler."""
        if self.statuses["rejected"] or self.unreadable:
            return "partly_rejected"
        return "complete" if self.committed or self.pruned else "nothing_new"

    def totals(self) -> dict[str, dict[str, int]]:
        """The account as `telemetry` counts it.

        Where a revision takes the place of what this very run wrote, both have been counted.
        """
        superseded = self.superseded + self._sum("superseded")
        return {
            "craft_ray_documents": {**self.statuses, "unchanged": self.unchanged, "superseded": superseded},
            "craft_ray_rejected": dict(self.reasons),
            "craft_ray_entities": dict(self.labels),
            "craft_ray_shards": {"read": self._read_whole, "broken": self.unreadable},
            "craft_ray_tokens": {"": self.tokens},
            "craft_ray_bytes_read": {"": self.bytes_done},
        }

    def summary(self) -> dict[str, Any]:
        """The account as JSON has it.

        Of a run that was stopped, what is found and in none of the other counts is left for the next run.
        """
        seconds = time.monotonic() - self.timeline.started
        statuses = self.statuses + Counter(deleted=self.pruned)
        rate = self.timeline.steady_rate
        return {
            "documents": {
                # Of a shard that has not closed, more may be known than its sum.
                "found": max(self.found, self.accounted) + self.pruned,
                **{status: statuses[status] for status in ("annotated", "rejected", "deleted")},
                "unchanged": self.unchanged,
                "superseded": self.superseded + self._sum("superseded"),
            },
            "titles_alone": self._sum("titles_alone"),
            "rejected": dict(sorted(self.reasons.items())),
            "entities": dict(sorted(self.labels.items())),
            "with_id": {label: self.with_id[label] for label in sorted(self.labels)},
            "left_out": dict(sorted(self.left_out.items())),
            "shards": {
                "found": len(self.shards) + self.known[0] + len(self.known_broken),
                "known": self.known[0],
                "read": self._read_whole,
                "unreadable": self.unreadable,
                "broken": dict(self.broken),
                "cut_short": self.cut_short,
                "passed_over": list(self.passed_over[:LISTED]),
                "files_passed_over": len(self.passed_over),
            },
            "tokens": self.tokens,
            "precisions": dict(sorted(self.precisions.items())),
            "seconds": round(seconds, 3),
            "tokens_per_second": round(self.tokens / seconds, 1),
            "steady_tokens_per_second": rate and round(rate, 1),
            "seconds_to_first_commit": self.timeline.steps.get("first_commit"),
            "timeline": dict(self.timeline.steps),
            "adds_up": self.adds_up(),
        }


def _share(size: int, end: Mapping[str, Any]) -> int:
    """The bytes of a shard that count as read once a part of it has closed."""
    each = size // int(end["parts"])
    return each if end["part"] else size - each * (end["parts"] - 1)
