"""Files of the tables written again by tasks on the cluster."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from craft_ray.tables.blocks import DataFile
from craft_ray.tables.rewriting import Rewrite, run_locally

if TYPE_CHECKING:
    import ray

ALONE = 128 << 20
"""Bytes of files up to which the driver writes them itself, which takes some five seconds."""

CPUS, TRIES = 0.5, 4
"""Share of a core that a task claims, for the stages of the run hold most of each, and how often it is tried."""


def run_on_cluster(rewrites: Sequence[Rewrite]) -> Iterator[Sequence[DataFile]]:
    """Run rewrites as tasks of Ray, which must be connected, or here where they are small; gives the files of each.

    A task that Ray runs twice writes new files each time, and those of one try alone are given. Tasks are cancelled
    whose files are not asked for any more.
    """
    if sum(file.size for rewrite in rewrites for file in rewrite.files) <= ALONE:
        yield from run_locally(rewrites)
        return
    import ray  # a run without new input does without, and has nothing so large to write

    if not ray.is_initialized():
        yield from run_locally(rewrites)
        return
    waiting = submit(rewrites)
    try:
        while waiting:
            yield ray.get(waiting.pop(0))
    finally:
        cancel(waiting)


def submit(rewrites: Sequence[Rewrite]) -> "list[ray.ObjectRef[Sequence[DataFile]]]":
    """A task of Ray, which must be connected, for each rewrite."""
    import ray

    task = ray.remote(num_cpus=CPUS, max_retries=TRIES - 1, scheduling_strategy="SPREAD")(_run)
    return [task.remote(rewrite) for rewrite in rewrites]


def cancel(answers: "Iterable[ray.ObjectRef[Sequence[DataFile]]]") -> None:
    """End tasks; what they have written counts for nothing."""
    import ray

    for answer in answers:
        ray.cancel(answer, force=True)


def _run(rewrite: Rewrite) -> Sequence[DataFile]:
    return rewrite.run()
