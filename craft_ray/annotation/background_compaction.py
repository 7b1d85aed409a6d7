"""Compaction of small files on the cluster while a run goes on, so that commits and the end of the run stay short."""

from collections.abc import Sequence

import ray

from craft_ray.annotation.rewrites import cancel, submit
from craft_ray.core.logs import log
from craft_ray.storage.failures import explain
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.rewriting import Compaction
from craft_ray.tables.writer import Tables

SMALL_FILES = 10_000
"""Added files after which a round of compactions starts. Each file of a table makes each commit 4 µs longer."""


class BackgroundCompaction:
    """Rounds of compactions as Ray tasks, one round at a time."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._running: dict[ray.ObjectRef[Sequence[DataFile]], Compaction] = {}

    def poll(self) -> None:
        """Start a round if there are many small files, or commit a round that has finished. Does not wait.

        Raises TakenOverError if another run has begun.
        """
        if self._running:
            _, running = ray.wait([*self._running], num_returns=len(self._running), timeout=0)
            if not running:
                self.finish()
        elif self._tables.small_files >= SMALL_FILES:
            plan = self._tables.plan_compaction()
            self._running = dict(zip(submit(plan), plan, strict=True))

    def finish(self) -> None:
        """Wait for the current round and commit it. The end of the run repeats compactions that failed."""
        done = []
        for task, compaction in self._running.items():
            try:
                done.append((compaction, ray.get(task)))
            except ray.exceptions.RayError as error:
                log.warning("small files could not be compacted: %s", explain(error))
        self._running = {}
        self._tables.commit_compaction(done)
        if done:
            log.info("small files compacted", extra={"files": sum(len(one.files) for one, _ in done)})

    def cancel(self) -> None:
        """Stop the current round without committing it."""
        cancel(self._running)
        self._running = {}
