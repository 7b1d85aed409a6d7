"""A driver that stops itself (SIGSTOP) at a step: `python -m tests.support.suspended OUTPUT STEP`."""

import os
import signal
import sys
from pathlib import Path

from craft_ray.tables.delta import NumberedTable
from craft_ray.tables.numbers import next_number
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block

RUN = "20260101T000000-00000000"

STEPS = (
    "before a pair of commits",
    "between the commits of a pair",
    "before its compaction",
    "before its vacuum",
    "before its last removals",
)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


class Stalling:
    """A Delta table that stops its driver between the two steps of a vacuum."""

    def __init__(self, table: NumberedTable) -> None:
        self._delta = table.delta

    def __getattr__(self, name: str) -> object:
        return getattr(self._delta, name)

    def vacuum(self, **how: object) -> list[str]:
        if how["dry_run"]:
            stop()
        found: list[str] = self._delta.vacuum(**how)
        return found


def main(output: str, step: str) -> None:
    """Commit a document, leave another uncommitted, and stop at a step of what follows."""
    tables = Tables(STORAGE, output, RUN)
    tables.append([block(Path(output), ("a", "mouse"), run_id=RUN)])
    late = block(Path(output), ("late", "worm"), run_id=RUN)
    if step in STEPS[:2]:
        pair = next_number(tables.documents.pair)
        for table, files in ((tables.entities, late.entities), (tables.documents, late.documents)):
            if step == STEPS[0] or table is tables.documents:
                stop()
            table.commit_files(files, pair)
    elif step == STEPS[2]:
        stop()
        tables.finish(compact=True)
    elif step == STEPS[3]:
        tables.compact()
        stop()
        tables.documents.vacuum(RUN)
    else:
        tables.documents._delta = Stalling(tables.documents)  # type: ignore[assignment]
        tables.documents.vacuum(RUN)


if __name__ == "__main__":
    main(*sys.argv[1:])
