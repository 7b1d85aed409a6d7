"""Rewrites of table files as Ray tasks. Ray is imported when it is needed: a run with nothing to read does without."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from craft_ray.tables.blocks import DataFile
from craft_ray.tables.rewriting import Rewrite, run_locally

if TYPE_CHECKING:
    import ray

LOCAL_BYTES = 128 << 20
"""Bytes up to which the driver rewrites files itself, which takes about five seconds."""

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

    task = ray.remote(num_cpus=CPUS, max_retries=TRIES - 1, scheduling_strategy="SPREAD")(_run)
    return [task.remote(rewrite) for rewrite in rewrites]


def cancel(tasks: "Iterable[ray.ObjectRef[Sequence[DataFile]]]") -> None:
    """Stop tasks. Files that they have written are not in the table, and the next vacuum removes them."""
    import ray

    for task in tasks:
        ray.cancel(task, force=True)


def _run(rewrite: Rewrite) -> Sequence[DataFile]:
    return rewrite.run()
