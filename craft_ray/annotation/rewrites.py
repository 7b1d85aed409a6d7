"""Rewrites of table files as Ray tasks. Ray is imported when it is needed: a run with nothing to read does without."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from craft_ray.core.logs import log
from craft_ray.storage.failures import explain
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.rewriting import Compaction, Rewrite, run_locally
from craft_ray.tables.writer import Tables

if TYPE_CHECKING:
    import ray

LOCAL_BYTES = 128 << 20
"""Bytes up to which the driver rewrites files itself, which takes about five seconds."""

SMALL_FILES = 10_000
"""Added files after which a round of compactions starts. Each file of a table makes each commit 4 µs longer."""

CPUS, TRIES = 0.5, 4
"""CPUs that a task claims, as the stages of a run hold most of each core, and how often it is tried."""


def run_on_cluster(rewrites: Sequence[Rewrite]) -> Iterator[Sequence[DataFile]]:
    """Run rewrites and yield the files of each: as Ray tasks if they are large and Ray is connected, else here."""
    if sum(file.size for rewrite in rewrites for file in rewrite.files) > LOCAL_BYTES:
        import ray

        if ray.is_initialized():
            return run_tasks(rewrites)
    return run_locally(rewrites)


def run_tasks(rewrites: Sequence[Rewrite]) -> Iterator[Sequence[DataFile]]:
    """Run rewrites as Ray tasks and yield the files of each, in order. Cancels the remaining tasks when it is closed.

    A task that runs twice writes new files each time; only those of one try are returned.
    """
    import ray

    waiting = submit(rewrites)
    try:
        while waiting:
            yield ray.get(waiting.pop(0))
    finally:
        cancel(waiting)


def submit(rewrites: Sequence[Rewrite]) -> "list[ray.ObjectRef[Sequence[DataFile]]]":
    """Start a Ray task for each rewrite."""
    import ray

    task = ray.remote(num_cpus=CPUS, max_retries=TRIES - 1, scheduling_strategy="SPREAD")(lambda rewrite: rewrite.run())
    return [task.remote(rewrite) for rewrite in rewrites]


def cancel(tasks: "Iterable[ray.ObjectRef[Sequence[DataFile]]]") -> None:
    """Stop tasks. Files that they have written are not in the table, and the next vacuum removes them."""
    import ray

    for task in tasks:
        ray.cancel(task, force=True)


class BackgroundCompaction:
    """Compaction of small files while a run goes on, so that commits and its end stay short: one round at a time."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._running: dict[ray.ObjectRef[Sequence[DataFile]], Compaction] = {}

    def poll(self) -> None:
        """Start a round if there are many small files, or commit a round that has finished. Does not wait.

        Raises TakenOverError if another run has begun.
        """
        import ray

        if self._running:
            _, running = ray.wait([*self._running], num_returns=len(self._running), timeout=0)
            if not running:
                self.finish()
        elif self._tables.small_files >= SMALL_FILES:
            plan = self._tables.plan_compaction()
            self._running = dict(zip(submit(plan), plan, strict=True))

    def finish(self) -> None:
        """Wait for the current round and commit it. The end of the run repeats compactions that failed."""
        import ray

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
