"""Passes over the shards of a run, until nothing is missing. Blocks are committed as they arrive."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import ray.data

from craft_ray.annotation.account import Account
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.plan import Attempt
from craft_ray.core.logs import log, with_log_fields
from craft_ray.storage.failures import explain
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock

HALT_TIMEOUT = 5.0
"""Seconds that the pipeline has to end before the connection to Ray is closed."""

Pipeline = Callable[[Sequence[Shard], Attempt, threading.Event], Iterator[WrittenBlock]]
"""Annotates shards, as carefully as the attempt asks, and ends early when the event is set."""


def annotate_missing(
    pipeline: Pipeline,
    commits: Commits,
    account: Account,
    stop: threading.Event,
    on_progress: Callable[[Account], None],
) -> None:
    """Pass over the missing shards, more carefully each time, until none is missing or `stop` is set.

    Raises RunError if another pass would not help, and whatever ended the last pass.
    """
    for attempt in Attempt:
        missing = account.arrivals.missing()
        if not missing or stop.is_set():
            break
        log.info("pass started", extra={"attempt": attempt.name.lower(), "shards": len(missing)})
        halt = threading.Event()
        with in_background(pipeline(missing, attempt, halt), halt) as arrived:
            commit_all(arrived, commits, account, stop, on_progress, tolerate_death=attempt is not Attempt.REJECT)
    commits.recount()


def commit_all(
    arrived: "queue.Queue[WrittenBlock | BaseException | None]",
    commits: Commits,
    account: Account,
    stop: threading.Event,
    on_progress: Callable[[Account], None],
    tolerate_death: bool,
) -> None:
    """Commit blocks until the pipeline ends or `stop` is set; those that arrive during a commit are committed together.

    tolerate_death: end the pass normally if a process or a node has died
    """
    open_ = True
    while open_ and not stop.is_set():
        for block in _take_all(arrived):
            if isinstance(block, BaseException):
                commits.commit(all=True)
                if not (tolerate_death and is_death(block)):
                    raise block
                log.warning("pass ended early: %s", explain(block))
                open_ = False
            elif block is None:
                open_ = False
            else:
                commits.add(block)
        commits.commit()
        on_progress(account)
    commits.commit(all=True)
    on_progress(account)


def _take_all(
    arrived: "queue.Queue[WrittenBlock | BaseException | None]",
) -> list[WrittenBlock | BaseException | None]:
    """Everything in the queue, after a short wait for the first item."""
    ready = []
    try:
        ready.append(arrived.get(timeout=0.2))
        while True:
            ready.append(arrived.get_nowait())
    except queue.Empty:
        return ready


@contextmanager
def in_background(
    blocks: Iterator[WrittenBlock], halt: threading.Event
) -> Iterator["queue.Queue[WrittenBlock | BaseException | None]"]:
    """Run the pipeline in a thread. The queue gets its blocks, and at the end None or the error."""
    arrived: queue.Queue[WrittenBlock | BaseException | None] = queue.Queue()

    def collect() -> None:
        try:
            for block in blocks:
                arrived.put(block)
            arrived.put(None)
        except BaseException as error:  # raised by `commit_all` in the thread that commits
            arrived.put(error)

    thread = threading.Thread(target=with_log_fields(collect), name="craft-ray-pipeline", daemon=True)
    thread.start()
    try:
        yield arrived
    finally:
        halt.set()
        thread.join(HALT_TIMEOUT)


def is_death(error: BaseException) -> bool:
    """True if a pass ended because a process or a node died, False if its work raised an error."""
    return any(
        isinstance(part, ray.exceptions.RayError) and not isinstance(part, ray.exceptions.RayTaskError)
        for part in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, as Python and as Ray record it."""
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__
