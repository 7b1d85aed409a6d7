"""The figures of a chaos run."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Report:
    """Counts of blows and of their consequences.

    faults:                 requests that the proxy spoilt, by fault
    runs:                   runs by exit code
    outputs, documents:     outputs compared with the undisturbed run's, and rows of `documents` in them
    lost, duplicated:       documents
    different:              rows of either table that the undisturbed run has otherwise or not at all
    halves:                 documents seen between runs without all of their entities
    vanished:               committed documents that a later run's table lacked
    unreferenced:           Parquet files outside the Delta snapshots at rest
    redone_blocks_most:     blocks that one run wrote and did not commit
    stop_seconds_most:      from SIGTERM to the end of the driver
    head_lost_seconds_most: from the loss of the head to the end of the driver
    failures:               broken promises: unclear errors, wrong exit codes, hanging runs
    errors:                 last lines of failed runs
    """

    seed: int
    blows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    outputs: int = 0
    documents: int = 0
    lost: int = 0
    duplicated: int = 0
    different: int = 0
    halves: int = 0
    vanished: int = 0
    unreferenced: int = 0
    redone_blocks_most: int = 0
    stop_seconds_most: float = 0.0
    head_lost_seconds_most: float = 0.0
    failures: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        wrong = (self.lost, self.duplicated, self.different, self.halves, self.vanished, self.unreferenced)
        return not any(wrong) and not self.failures

    def write(self, path: Path) -> None:
        figures: dict[str, Any] = vars(self) | {"blows_total": self.blows.total(), "clean": self.clean}
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
