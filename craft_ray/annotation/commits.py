"""When what has arrived is committed: new documents at once, revisions collected for a while, shards now and then."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.annotation import prometheus
from craft_ray.annotation.account import Account
from craft_ray.core.errors import RunError
from craft_ray.core.logs import log
from craft_ray.core.schema import SHARDS
from craft_ray.tables import identity
from craft_ray.tables.blocks import RETRACTED, WrittenBlock
from craft_ray.tables.ledger import Ledger, Outcome, State, admitted
from craft_ray.tables.writer import Tables

COMMIT_SHARE, LONGEST_WAIT = 0.05, 10.0
"""Share of the time that commits may take, and seconds that a block waits for its commit at the most."""

REPLACE_AFTER, REPLACE_AT = 600.0, 500_000
"""Seconds for which revised documents are collected, and how many: each replacement rewrites files of the tables.

Until then no shard is recorded as finished, so a run that is killed reads again at most so much.
"""

NOTE_AFTER = 60.0
"""Seconds after which the finished shards are recorded, so that a run that is killed need not read them again."""

LOGGED = ("shard", "size", "found", "emitted", "unchanged", "superseded", "reason", "detail")
"""Fields of the log line about a shard whose documents are all committed."""

JUDGED_FROM = 100
"""Documents from which on the share of the rejected is judged."""


class Commits:
    """Commits blocks as they come.

    rows:         rows that the documents table will have once all is committed
    max_rejected: share of the run's documents that may be rejected
    """

    def __init__(
        self, tables: Tables, ledger: Ledger, account: Account, run_id: str, signature: str, max_rejected: float
    ) -> None:
        self._tables = tables
        self._ledger = ledger
        self._account = account
        self._origin = {"signature": signature, "run_id": run_id}
        self._max_rejected = max_rejected
        self._new: list[WrittenBlock] = []
        self._revised: list[WrittenBlock] = []
        self._outcomes: list[NDArray[np.int8]] = []
        self._kept = 0
        self._since = self._noted = time.monotonic()
        self._next = 0.0
        self.rows = tables.counts()["documents"]

    def add(self, block: WrittenBlock) -> None:
        """Judge a block's documents against all that was committed or judged before."""
        self._account.arrived(block)
        outcomes, held = self._ledger.outcomes(block.entries)
        new = outcomes == Outcome.NEW
        taken = admitted(outcomes)
        self._repeat(block.entries[outcomes == Outcome.DUPLICATE], held[outcomes == Outcome.DUPLICATE])
        # Superseded are those that lose against what is there, and those of this run that lose against these.
        self._account.superseded += int(np.isin(outcomes, (Outcome.SUPERSEDED, Outcome.UNCHANGED)).sum())
        corrected = taken & (held["state"] != State.BEFORE) & (held["revision"] == block.entries["revision"])
        self._account.corrected(int(corrected.sum()))
        self._account.superseded += int((taken & ~corrected & (held["state"] == State.WRITTEN)).sum())
        # Those that wait are counted as superseded once they are replaced.
        self._account.superseded -= int((corrected & (held["state"] == State.WAITING)).sum())
        self._ledger.update(block.entries[taken], State.WRITTEN if new.all() else State.WAITING)
        self.rows += int(new.sum()) - block.status.count(RETRACTED)
        if len(block.duplicates):
            self._judge_repeated(block.duplicates)
        if new.all():
            self._new.append(block)
        elif taken.any():
            if not self._revised:
                self._since = time.monotonic()
            self._revised.append(block)
            self._outcomes.append(outcomes)
            self._kept += int(taken.sum())

    def _judge_repeated(self, repeated: NDArray[np.void]) -> None:
        """Judge rows that hold no text, since their documents were the tables' own when the run began.

        Where a revision has come from a shard in between, the text is needed after all: the row is not counted as
        received, so that its shard is read once more, and then it is a revision itself.
        """
        outcomes, held = self._ledger.outcomes(repeated)
        needed = np.isin(outcomes, (Outcome.NEW, Outcome.REVISED))
        superseded = outcomes == Outcome.SUPERSEDED
        self._account.received(repeated["revision"][~needed])
        self._account.superseded += int(superseded.sum())
        self._repeat(repeated[~needed & ~superseded], held[~needed & ~superseded])

    def _repeat(self, repeated: NDArray[np.void], held: NDArray[np.void]) -> None:
        """Enter that documents have come once more, unchanged; `held` are their entries until now."""
        before = held["state"] == State.BEFORE
        self._account.duplicates(repeated, int(before.sum()))
        self._account.superseded += int((~before).sum())
        self._ledger.record_duplicates(repeated["id"], identity.shard_numbers(repeated["revision"]))

    def commit(self, all: bool = False) -> None:
        """Commit what is due; with `all`, everything.

        Raises RunError if so many documents are rejected that something must be wrong with all of them.
        """
        now = time.monotonic()
        all = all or (now - self._noted > NOTE_AFTER and not self._revised)
        waiting = sum(len(block.entries) for block in self._revised)
        replacing = bool(self._revised) and (all or waiting >= REPLACE_AT or now - self._since > REPLACE_AFTER)
        if self._new and (all or replacing or now >= self._next):  # first what revisions may replace
            with prometheus.timed_commit("append"):
                self._tables.append(self._new)
            self._account.wrote(self._new)
            self._log("append", sum(len(block.entries) for block in self._new), now)
            self._new = []
            self._next = time.monotonic() + min(LONGEST_WAIT, (time.monotonic() - now) / COMMIT_SHARE)
        if replacing:
            retracted = sum(block.status.count(RETRACTED) for block in self._revised)
            began = time.monotonic()
            with prometheus.timed_commit("replace"):
                written = self._tables.replace(self._revised, self._outcomes)
            self._log("replace", written, began)
            self._ledger.written()
            # Those that were kept when they came, and beaten by a better revision while they waited.
            self._account.superseded += self._kept - retracted - written
            self._account.wrote(self._revised)
            self._account.exact = False
            self._revised, self._outcomes, self._kept = [], [], 0
        if all:
            self._note()
        self._judge()

    def recount(self) -> None:
        """Make the account exact where revisions have replaced rows that this very run wrote."""
        if not self._account.exact:
            counts = self._tables.run_counts(self._origin["run_id"])
            account = self._account
            account.statuses, account.reasons, account.labels, account.with_id = counts
            self._account.exact = True

    def _note(self) -> None:
        """Commit which shards are done; all that arrived is committed."""
        self._noted = time.monotonic()
        if whole := self._account.take_finished():
            rows: list[dict[str, Any]] = [
                {name: end[name] for name in SHARDS.names if name in end}
                | {"size": shard.size, "tag": shard.tag, **self._origin}
                | ({"signature": None} if shard.number in self._account.to_read_again else {})
                for shard, end in whole
            ]
            with prometheus.timed_commit("note"):
                self._tables.record_finished(pa.Table.from_pylist(rows, schema=SHARDS))
            for row in rows:
                tell = log.warning if row.get("reason") else log.info
                tell("shard", extra={name: row.get(name) for name in LOGGED})

    def _log(self, kind: str, documents: int, began: float) -> None:
        log.info(
            "committed",
            extra={"kind": kind, "documents": documents, "seconds": round(time.monotonic() - began, 3)},
        )

    def _judge(self) -> None:
        committed, rejected = self._account.committed, self._account.statuses["rejected"]
        if committed >= JUDGED_FROM and rejected > self._max_rejected * committed:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in self._account.reasons.most_common(3))
            raise RunError(
                f"{rejected:,} of {committed:,} documents were rejected ({reasons}), more than max_rejected "
                f"{self._max_rejected:g} of them: is this the right input, and the right format?"
            )
