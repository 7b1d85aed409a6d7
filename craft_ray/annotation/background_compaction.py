"""Small files merged while a run goes on, so that neither its commits nor its end become long."""

from collections.abc import Sequence

import ray

from craft_ray.annotation.rewrites import cancel, submit
from craft_ray.core.logs import log
from craft_ray.storage.failures import explain
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.rewriting import Compaction
from craft_ray.tables.writer import Tables

SMALL_FILES = 10_000
"""Files that are appended before small ones are merged. Each file that a table has makes each commit 4 µs longer."""


class BackgroundCompaction:
    """Merges of small files as tasks on the cluster, beside all else that a run does; a round of them at a time."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._at_work: dict[ray.ObjectRef[Sequence[DataFile]], Compaction] = {}

    def poll(self) -> None:
        """Begin a round if there are many small files, and commit one that has ended.

        Raises RunError if another run has taken over.
        """
        if self._at_work:
            _, at_work = ray.wait([*self._at_work], num_returns=len(self._at_work), timeout=0)
            if not at_work:
                self.finish()
        elif self._tables.small_files >= SMALL_FILES:
            found = self._tables.plan_compaction()
            self._at_work = dict(zip(submit(found), found, strict=True))

    def finish(self) -> None:
        """Wait for the round that has begun, and commit what it gave; a merge that failed is left to the run's end."""
        merged = []
        for answer, merge in self._at_work.items():
            try:
                merged.append((merge, ray.get(answer)))
            except ray.exceptions.RayError as error:
                log.warning("small files could not be merged: %s", explain(error))
        self._at_work = {}
        self._tables.commit_compaction(merged)
        if merged:
            log.info("small files merged", extra={"files": sum(len(merge.files) for merge, _ in merged)})

    def cancel(self) -> None:
        """End the round that has begun; its files stay as they are."""
        cancel(self._at_work)
        self._at_work = {}
