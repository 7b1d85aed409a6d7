"""Passes over the shards until nothing is missing; blocks are committed as they come."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import ray.data

from craft_ray.annotation.account import Account
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.plan import Attempt
from craft_ray.core.logs import log
from craft_ray.storage.failures import explain
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock

HALTED_WITHIN = 5.0
"""Seconds that the pipeline has to end before the connection to Ray is closed beneath it."""


Pipeline = Callable[[Sequence[Shard], Attempt, threading.Event], Iterator[WrittenBlock]]
"""Annotates shards in the manner of an attempt, until an event halts it: `pipeline.run_pipeline` of one run."""


def annotate_missing(
    pipeline: Pipeline,
    commits: Commits,
    account: Account,
    stop: threading.Event,
    on_progress: Callable[[Account], None],
) -> None:
    """Pass over the shards, each attempt more careful, until nothing is missing or a signal comes.

    Raises RunError for what no other pass would mend, and what ended the last pass.
    """
    for attempt in Attempt:
        missing = account.missing()
        if not missing or stop.is_set():
            break
        log.info("pass began", extra={"attempt": attempt.name.lower(), "shards": len(missing)})
        halt = threading.Event()
        with collecting(pipeline(missing, attempt, halt), halt) as arrived:
            commit_all(arrived, commits, account, stop, on_progress, forgiving=attempt is not Attempt.REJECT)
    commits.recount()


def commit_all(
    arrived: "queue.Queue[WrittenBlock | BaseException | None]",
    commits: Commits,
    account: Account,
    stop: threading.Event,
    on_progress: Callable[[Account], None],
    forgiving: bool,
) -> None:
    """Commit blocks in groups, as they gather during each commit, until the pipeline ends or a signal comes.

    forgiving: whether the death of a process ends the pass as if it had ended by itself
    """
    open_ = True
    while open_ and not stop.is_set():
        ready = _take(arrived)
        for block in ready:
            if isinstance(block, BaseException):
                commits.commit(all=True)
                if not (forgiving and is_death(block)):
                    raise block
                log.warning("a pass was cut short: %s", explain(block))
                open_ = False
            elif block is None:
                open_ = False
            else:
                commits.add(block)
        commits.commit()
        on_progress(account)
    commits.commit(all=True)
    on_progress(account)


def _take(arrived: "queue.Queue[WrittenBlock | BaseException | None]") -> list[WrittenBlock | BaseException | None]:
    """All that has arrived, after waiting a little for the first."""
    ready = []
    try:
        ready.append(arrived.get(timeout=0.2))
        while True:
            ready.append(arrived.get_nowait())
    except queue.Empty:
        return ready


@contextmanager
def collecting(
    blocks: Iterator[WrittenBlock], halt: threading.Event
) -> Iterator["queue.Queue[WrittenBlock | BaseException | None]"]:
    """Run the pipeline in a thread; its blocks, then None or its error, come through the queue."""
    arrived: queue.Queue[WrittenBlock | BaseException | None] = queue.Queue()

    def collect() -> None:
        try:
            for block in blocks:
                arrived.put(block)
            arrived.put(None)
        except BaseException as error:  # raised again by the thread that commits
            arrived.put(error)

    thread = threading.Thread(target=collect, name="craft-ray-pipeline", daemon=True)
    thread.start()
    try:
        yield arrived
    finally:
        halt.set()
        thread.join(HALTED_WITHIN)


def is_death(error: BaseException) -> bool:
    """True if a pass ended because a process or a node died, false if its work raised an error."""
    return any(
        isinstance(part, ray.exceptions.RayError) and not isinstance(part, ray.exceptions.RayTaskError)
        for part in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, as Python and as Ray keep it."""
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__
