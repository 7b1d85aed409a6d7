"""Commit what has arrived: new documents soon, revisions in large groups, finished shards from time to time."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.annotation import prometheus
from craft_ray.annotation.account import Account, Committed
from craft_ray.annotation.counts import ShardAccount, changes
from craft_ray.core.errors import RunError
from craft_ray.core.logs import log
from craft_ray.core.schema import MAX_FAILURES, SHARDS, TRANSIENT_REASONS
from craft_ray.storage.shards import Shard
from craft_ray.tables import identity
from craft_ray.tables.blocks import RETRACTED, WrittenBlock
from craft_ray.tables.ledger import Ledger, Outcome, admitted
from craft_ray.tables.writer import Tables

LOGGED = ("shard", "size", "found", "emitted", "unchanged", "superseded", "reason", "detail")
"""Fields of the log line about a finished shard."""

MIN_JUDGED = 100
"""Committed documents from which on the share of rejected ones is checked."""


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """When something is committed.

    Each replacement rewrites files of the tables, so revisions are collected. No shard is recorded as finished while
    revisions wait: a run that is killed reads at most this much again.

    max_time_share: share of the time that commits of new documents may take
    max_delay:      seconds that a new document waits for its commit at most
    replace_after:  seconds after which collected revisions are committed
    replace_rows:   number of collected revisions that is committed earlier
    record_after:   seconds between two records of finished shards
    """

    max_time_share: float = 0.05
    max_delay: float = 10.0
    replace_after: float = 600.0
    replace_rows: int = 500_000
    record_after: float = 60.0


class Commits:
    """Commits the blocks of a run, in the order in which they arrive.

    rows:         rows that `documents` has once everything is committed
    max_rejected: share of the run's documents that may be rejected
    """

    def __init__(
        self,
        tables: Tables,
        ledger: Ledger,
        account: Account,
        run_id: str,
        signature: str,
        max_rejected: float,
        policy: CommitPolicy = CommitPolicy(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables = tables
        self._ledger = ledger
        self._account = account
        self._origin = {"signature": signature, "run_id": run_id}
        self._max_rejected = max_rejected
        self._policy = policy
        self._clock = clock
        self._new: list[WrittenBlock] = []
        self._revised: list[WrittenBlock] = []
        self._outcomes: list[NDArray[np.int8]] = []
        """Outcomes of the documents in `_revised`."""
        self._revised_since = self._recorded_at = clock()
        self._next_append = 0.0
        self.rows = tables.counts()["documents"]

    def add(self, block: WrittenBlock) -> None:
        """Look up and count a block's documents, against everything committed or added before."""
        self._account.receive(block)
        self._account.arrivals.count_superseded(block.superseded)
        retracted = np.array([status == RETRACTED for status in block.status], np.bool_)
        outcomes = self._look_up(block.entries, ~retracted)
        accepted = admitted(outcomes)
        new = outcomes == Outcome.NEW
        self._ledger.update(block.entries[accepted])
        self.rows += int(new.sum()) - int(retracted.sum())
        if new.all():
            self._new.append(block)
        elif accepted.any():
            if not self._revised:
                self._revised_since = self._clock()
            self._revised.append(block)
            self._outcomes.append(outcomes)
        # A revision from a shard in between may have arrived. Then the text is needed after all: the document does not
        # count as received, so its shard is read again, and next time it comes as a revision.
        self._look_up(block.duplicates, ~admitted(self._ledger.outcomes(block.duplicates)[0]))

    def _look_up(self, entries: NDArray[np.void], counted: NDArray[np.bool_]) -> NDArray[np.int8]:
        """Look up documents, count those marked, and note the duplicates among them; return the outcomes."""
        outcomes, existing = self._ledger.outcomes(entries)
        shard_numbers = identity.shard_numbers(entries["revision"])
        arrivals = self._account.arrivals
        arrivals.count(shard_numbers[counted], changes(outcomes, existing["in_run"])[counted])
        same = counted & np.isin(outcomes, (Outcome.UNCHANGED, Outcome.DUPLICATE))
        arrivals.add_duplicates(shard_numbers[same].tolist(), entries["id"][same].tolist())
        self._ledger.record_duplicates(entries["id"][same], shard_numbers[same])
        return outcomes

    def commit(self, all: bool = False) -> None:
        """Commit what is due, or everything.

        Raises RunError if more documents are rejected than the settings allow.
        """
        now = self._clock()
        all = all or (now - self._recorded_at > self._policy.record_after and not self._revised)
        waiting = sum(len(block.entries) for block in self._revised)
        is_due = waiting >= self._policy.replace_rows or now - self._revised_since > self._policy.replace_after
        replace = bool(self._revised) and (all or is_due)
        if self._new and (all or replace or now >= self._next_append):  # a revision may replace one of these
            self._append()
        if replace:
            self._replace()
        if all:
            self._record_finished()
        self._check_rejected()

    def _append(self) -> None:
        began = self._clock()
        with prometheus.timed_commit("append"):
            self._tables.append(self._new)
        seconds = self._clock() - began
        self._account.commit(self._new)
        _log_commit("append", sum(len(block.entries) for block in self._new), seconds)
        self._new = []
        self._next_append = self._clock() + min(self._policy.max_delay, seconds / self._policy.max_time_share)

    def _replace(self) -> None:
        began = self._clock()
        with prometheus.timed_commit("replace"):
            written = self._tables.replace(self._revised, self._outcomes)
        _log_commit("replace", written, self._clock() - began)
        self._account.commit(self._revised)
        self._account.committed.exact = False
        self._revised, self._outcomes = [], []

    def _record_finished(self) -> None:
        """Record the finished shards; everything that has arrived is committed."""
        self._recorded_at = self._clock()
        if rows := [self._shard_row(*finished) for finished in self._account.take_finished()]:
            with prometheus.timed_commit("note"):
                self._tables.record_finished(pa.Table.from_pylist(rows, schema=SHARDS))
            for row in rows:
                log_shard = log.warning if row["reason"] else log.info
                log_shard("shard", extra={name: row[name] for name in LOGGED})

    def _shard_row(self, shard: Shard, account: ShardAccount) -> dict[str, Any]:
        counts = {name: value for name, value in asdict(account).items() if name in SHARDS.names}
        reread = shard.number in self._account.reread
        failed = account.reason in TRANSIENT_REASONS or (reread and not account.cut_short)
        failures = self._account.failures.get(shard.number, 0) + 1 if failed else 0
        row = counts | {"named": account.named, "size": shard.size, "tag": shard.tag, **self._origin}
        row |= {"failures": failures}
        return row | {"signature": None} if reread and failures < MAX_FAILURES else row

    def recount(self) -> None:
        """Read the counts of committed rows from the tables if revisions have replaced rows of this run."""
        if not self._account.committed.exact:
            self._account.committed = Committed(*self._tables.run_counts(self._origin["run_id"]))

    def _check_rejected(self) -> None:
        committed = self._account.committed
        documents, rejected = committed.documents, committed.statuses["rejected"]
        if documents >= MIN_JUDGED and rejected > self._max_rejected * documents:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in committed.reasons.most_common(3))
            raise RunError(
                f"{rejected:,} of {documents:,} documents were rejected ({reasons}), more than max_rejected "
                f"{self._max_rejected:g} of them: is this the right input, and the right format?"
            )


def _log_commit(kind: str, documents: int, seconds: float) -> None:
    log.info("committed", extra={"kind": kind, "documents": documents, "seconds": round(seconds, 3)})
