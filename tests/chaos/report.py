"""The figures of a chaos run."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Report:
    """Figures of blows and of their consequences."""

    seed: int
    blows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    """Requests that the proxy spoilt, by fault."""
    runs: Counter[str] = field(default_factory=Counter)
    """Runs by exit code."""
    outputs: int = 0
    """Outputs that were filled through blows and compared."""
    documents: int = 0
    """Rows of `documents` compared with the undisturbed run's."""
    lost: int = 0
    duplicated: int = 0
    different: int = 0
    """Rows of either table that the undisturbed run has otherwise or not at all."""
    halves: int = 0
    """Documents seen, between runs, with other than all their entities."""
    vanished: int = 0
    """Documents that a later run's table lacked after an earlier one had committed them."""
    unreferenced: int = 0
    """Parquet files beside the Delta snapshots at rest."""
    redone_documents: int = 0
    """Documents that were annotated and written by runs that ended before they were committed."""
    redone_most: int = 0
    """The most of them in one run."""
    redone_blocks_most: int = 0
    overdue_seconds_most: float = 0.0
    """The longest that a block had been waiting for its commit when its run ended."""
    stop_seconds_most: float = 0.0
    """From SIGTERM to the end of the driver, at the most."""
    head_lost_seconds_most: float = 0.0
    """From the loss of the head to the end of the driver, at the most."""
    failures: list[str] = field(default_factory=list)
    """Breaches of what a run promises: unclear errors, wrong exit codes, runs that hang."""
    errors: Counter[str] = field(default_factory=Counter)
    """The sentences that runs ended with."""
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """True if nothing was lost, nothing was twice and nothing was let in."""
        wrong = (self.lost, self.duplicated, self.different, self.halves, self.vanished, self.unreferenced)
        return not any(wrong) and not self.failures

    def as_json(self) -> dict[str, Any]:
        total = {"blows_total": sum(self.blows.values()), "runs_total": sum(self.runs.values()), "clean": self.clean}
        return vars(self) | total

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
