"""Annotate the shards of a run on Ray, in passes until nothing is missing. Blocks are committed as they arrive.

This module imports Ray, so only runs that read something import it.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import ray.data

from craft_ray.annotation.account import Account, metrics
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.context import RunContext
from craft_ray.annotation.pipeline import run_pipeline
from craft_ray.annotation.plan import Attempt, ReadingPlan, group_shards
from craft_ray.annotation.prepare import ReadTask, SharedLedger
from craft_ray.annotation.prometheus import PrometheusCounters
from craft_ray.annotation.rewrites import BackgroundCompaction
from craft_ray.annotation.write import WriteTask
from craft_ray.core.connection import nodes, wait_for_resources
from craft_ray.core.logs import log, with_log_fields
from craft_ray.model.decode import Decoder
from craft_ray.readers import read_options
from craft_ray.storage.failures import explain
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.delta import TakenOverError
from craft_ray.tables.records import RunRecord
from craft_ray.tables.writer import Tables

HALT_TIMEOUT = 5.0
"""Seconds that the pipeline has to end before the connection to Ray is closed."""

Pipeline = Callable[[Sequence[Shard], Attempt, threading.Event], Iterator[WrittenBlock]]
"""Annotates shards, as carefully as the attempt asks, and ends early when the event is set."""


def annotate_shards(
    run: RunContext, reading: ReadingPlan, tables: Tables, account: Account, commits: Commits, record: RunRecord
) -> None:
    """Annotate and commit all shards of a plan.

    Raises RunError if the run cannot go on, and StoppedError after a signal, when what has arrived is committed.
    """
    settings = run.settings
    wait_for_resources(settings.wait_for, run.stop)
    run.raise_if_stopped()
    layout = make_plan(settings, nodes())
    model = run.model.deployed(layout.device)
    record.add(plan=asdict(layout) | {"precision": model.precision})
    run.timeline.reached("model_ready")
    write = WriteTask(
        run.storage,
        run.output,
        run.run_id,
        Decoder.of(run.checkpoint),
        settings.keep_text,
        tables.partition_by,
        ray.put(run.grounder) if run.grounder else None,
    )
    model_ref, arrivals = ray.put(model), account.arrivals
    arrivals.unsplittable.update(reading.unsplittable)
    compaction = BackgroundCompaction(tables)
    counters = PrometheusCounters()

    def pipeline(shards: Sequence[Shard], attempt: Attempt, halt: threading.Event) -> Iterator[WrittenBlock]:
        """One pass (`passes.Pipeline`)."""
        read = ReadTask.of(
            run.checkpoint,
            ids=tables.ids,
            rejected=reading.existing.rejected,
            shard_numbers=arrivals.numbers,
            never_closed=frozenset(arrivals.never_closed() if attempt is Attempt.REJECT else ()),
            options=read_options(settings),
            limit=settings.limit,
            with_ids=settings.prune,
            run_id=run.run_id,
            log_format=settings.log_format,
        )
        shared = ray.put((read, SharedLedger.of(reading.existing.ledger)))
        arrivals.restart(shards)
        groups = group_shards(shards, layout, attempt, arrivals.unsplittable)
        return run_pipeline(groups, attempt, layout, model_ref, shared, write, halt)

    def on_commit(account: Account) -> None:
        if run.lease_lost.is_set():
            raise TakenOverError(run.output)
        counters.show(metrics(account))
        run.on_progress(account)
        if settings.compact:
            compaction.poll()

    try:
        annotate_missing(pipeline, commits, account, run.stop, on_commit)
        run.raise_if_stopped()
        compaction.finish()
    finally:
        compaction.cancel()
    run.raise_if_stopped()
    run.timeline.reached("last_commit")


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
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ray.exceptions.RayError) and not isinstance(cause, ray.exceptions.RayTaskError):
            return True
        cause = getattr(cause, "cause", None) or cause.__cause__  # as Ray and as Python record it
    return False
