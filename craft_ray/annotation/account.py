"""The account of a run: every document that is found ends in exactly one count.

`arrivals` has what came in, `committed` what is in the tables; `summarize` and `metrics` report both.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa

from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.counts import ShardAccount
from craft_ray.storage.shards import Shard, no_names
from craft_ray.tables.blocks import RETRACTED, WrittenBlock

MAX_POINTS = 200
"""Rows of the progress that a run record keeps."""

MAX_LISTED = 100
"""Broken shards and ignored files that a summary names; of the others it gives the number."""


@dataclass(slots=True)
class Timeline:
    """When a run reached its steps, and how far it had come at each commit; times are those of a monotonic clock.

    steps:   seconds from the start to the first time each step was reached
    commits: time of each commit, and the documents and tokens committed so far
    """

    started: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic
    steps: dict[str, float] = field(default_factory=dict)
    commits: list[tuple[float, int, int]] = field(default_factory=list)

    def reached(self, step: str, at: float | None = None) -> None:
        """Record the first time that a step is reached, by default now."""
        self.steps.setdefault(step, round((at or self.clock()) - self.started, 3))

    def committed(self, documents: int, tokens: int) -> None:
        """Record a commit of some documents and tokens."""
        self.reached("first_commit")
        _, documents_before, tokens_before = self.commits[-1] if self.commits else (0.0, 0, 0)
        self.commits.append((self.clock(), documents_before + documents, tokens_before + tokens))

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def steady_rate(self) -> float | None:
        """Tokens per second between the first and the last commit, without start-up and closing; None before that."""
        if len(self.commits) < 2:
            return None
        (began, _, first), (ended, _, last) = self.commits[0], self.commits[-1]
        return (last - first) / (ended - began)

    def progress(self) -> list[list[float]]:
        """Rows of seconds since the start, documents and tokens: one per commit, or MAX_POINTS evenly spread ones."""
        step = math.ceil(len(self.commits) / MAX_POINTS)
        kept = self.commits[::-1][:: step or 1][::-1]
        return [[round(at - self.started, 3), documents, tokens] for at, documents, tokens in kept]


@dataclass(frozen=True, slots=True)
class UpToDate:
    """Counts of the shards that a run skips because they are unchanged.

    shards:    shards whose documents are in the tables
    documents: documents found in these shards, and in broken ones
    broken:    why shards are broken that are not opened again, by name
    """

    shards: int = 0
    documents: int = 0
    broken: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Committed:
    """Documents and entities that this run has committed.

    exact: False if revisions have replaced rows of this run, so that these counts must be read from the tables
    """

    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    with_id: Counter[str] = field(default_factory=Counter)
    exact: bool = True

    def add(self, block: WrittenBlock) -> None:
        self.statuses.update(status for status in block.status if status != RETRACTED)
        self.reasons.update(reason for reason in block.reason if reason)
        self.labels.update(block.labels)
        self.with_id.update(block.with_id)

    @property
    def documents(self) -> int:
        return sum(self.statuses.values())


@dataclass(slots=True)
class Account:
    """The account of a run over some shards; it grows as blocks arrive and are committed.

    ignored_files: files in the inputs' folders whose names are those of no format
    precisions:    committed documents that the model has read, by the number format of its results
    left_out:      mentions left out by score or by `grounded_only`, by label
    pruned:        documents that were removed because their files are gone
    reread:        numbers of the shards that the next run reads again: documents of them failed or were cut off
    failures:      earlier runs in a row that failed to read a shard, by its number
    broken:        the first shards that cannot be read to their end, and why
    """

    arrivals: Arrivals = field(default_factory=Arrivals)
    up_to_date: UpToDate = field(default_factory=UpToDate)
    ignored_files: pa.LargeStringArray = field(default_factory=no_names)
    timeline: Timeline = field(default_factory=Timeline)
    committed: Committed = field(default_factory=Committed)
    precisions: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    pruned: int = 0
    reread: set[int] = field(default_factory=set)
    failures: Mapping[int, int] = field(default_factory=dict)
    cut_short: int = 0
    broken_shards: int = 0
    broken: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.broken_shards = len(self.up_to_date.broken)
        self.broken = dict(islice(self.up_to_date.broken.items(), MAX_LISTED))

    @property
    def shards(self) -> Sequence[Shard]:
        """The shards that the run reads."""
        return self.arrivals.shards

    def receive(self, block: WrittenBlock) -> None:
        """Note what a block says beside its documents: tokens, bytes read, and shards that have closed."""
        self.timeline.reached("first_block")
        self.tokens += block.tokens
        for (number, part), position in block.positions.items():
            self.arrivals.read_to(number, part, position)
        for account in block.shard_accounts:
            self.arrivals.close_part(ShardAccount(**account))
        for number, reason in zip(block.shard_number.tolist(), block.reason, strict=True):
            if reason == "failed":
                self.reread.add(number)

    def commit(self, blocks: Sequence[WrittenBlock]) -> None:
        """Count the documents and entities of blocks that have been committed together."""
        self.timeline.committed(sum(len(block.status) for block in blocks), sum(block.tokens for block in blocks))
        for block in blocks:
            self.committed.add(block)
            self.precisions.update(block.precisions)
            self.left_out.update(block.left_out)

    def take_finished(self) -> list[tuple[Shard, ShardAccount]]:
        """Finish the shards whose documents are all committed (`Arrivals.take_finished`)."""
        finished = self.arrivals.take_finished()
        for shard, account in finished:
            if account.cut_short:
                self.reread.add(shard.number)
                self.cut_short += 1
            if account.reason:
                self.broken_shards += 1
                if len(self.broken) < MAX_LISTED:
                    self.broken[shard.name] = f"{account.reason}: {account.detail}"
        return finished

    @property
    def found(self) -> int:
        """Documents found in closed shards, and in those that are up to date."""
        return self.arrivals.found + self.up_to_date.documents

    @property
    def unchanged(self) -> int:
        """Documents that the tables had before this run."""
        return self.arrivals.unchanged + self.up_to_date.documents

    @property
    def accounted(self) -> int:
        """Documents of which it is known what became of them."""
        return self.committed.documents + self.unchanged + self.arrivals.superseded

    @property
    def shards_read(self) -> int:
        """Shards that this run has read to their end."""
        return self.arrivals.shards_closed - (self.broken_shards - len(self.up_to_date.broken))

    def adds_up(self) -> bool:
        """True if all shards are finished and each document found is accounted for."""
        return self.arrivals.all_finished and self.found == self.accounted

    @property
    def status(self) -> str:
        """Status of a finished run, for a scheduler."""
        if self.committed.statuses["rejected"] or self.broken_shards:
            return "partly_rejected"
        return "complete" if self.committed.documents or self.pruned else "nothing_new"


def summarize(account: Account) -> dict[str, Any]:
    """The account as JSON has it.

    If a run was stopped, documents that are found but in no other count are left for the next run.
    """
    arrivals, committed, up_to_date, timeline = (
        account.arrivals,
        account.committed,
        account.up_to_date,
        account.timeline,
    )
    statuses = committed.statuses + Counter(deleted=account.pruned)
    seconds, rate = timeline.seconds, timeline.steady_rate
    return {
        "documents": {
            # Documents of shards that have not closed may be accounted for before they count as found.
            "found": max(account.found, account.accounted) + account.pruned,
            **{status: statuses[status] for status in ("annotated", "rejected", "deleted")},
            "unchanged": account.unchanged,
            "superseded": arrivals.superseded,
        },
        "titles_alone": arrivals.titles_alone,
        "rejected": dict(sorted(committed.reasons.items())),
        "entities": dict(sorted(committed.labels.items())),
        "with_id": {label: committed.with_id[label] for label in sorted(committed.labels)},
        "left_out": dict(sorted(account.left_out.items())),
        "shards": {
            "found": len(account.shards) + up_to_date.shards + len(up_to_date.broken),
            "known": up_to_date.shards,
            "read": account.shards_read,
            "unreadable": account.broken_shards,
            "newly_broken": account.broken_shards - len(up_to_date.broken),
            "broken": dict(account.broken),
            "cut_short": account.cut_short,
            "passed_over": account.ignored_files[:MAX_LISTED].to_pylist(),
            "files_passed_over": len(account.ignored_files),
        },
        "tokens": account.tokens,
        "precisions": dict(sorted(account.precisions.items())),
        "seconds": round(seconds, 3),
        "tokens_per_second": round(account.tokens / seconds, 1),
        "steady_tokens_per_second": rate and round(rate, 1),
        "seconds_to_first_commit": timeline.steps.get("first_commit"),
        "timeline": dict(timeline.steps),
        "adds_up": account.adds_up(),
    }


def metrics(account: Account) -> dict[str, dict[str, int]]:
    """Counts by metric and label value (`prometheus.PrometheusCounters`).

    A row of this run that a revision has replaced counts as committed and as superseded.
    """
    arrivals, committed = account.arrivals, account.committed
    return {
        "craft_ray_documents": {
            **committed.statuses,
            "unchanged": account.unchanged,
            "superseded": arrivals.superseded,
        },
        "craft_ray_rejected": dict(committed.reasons),
        "craft_ray_entities": dict(committed.labels),
        "craft_ray_shards": {"read": account.shards_read, "broken": account.broken_shards},
        "craft_ray_tokens": {"": account.tokens},
        "craft_ray_bytes_read": {"": arrivals.bytes_done},
    }
