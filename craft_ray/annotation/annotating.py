"""Annotate the shards of a run on Ray, in passes until nothing is missing.

This module imports Ray, so only runs that read something import it.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import ray

from craft_ray.annotation.account import Account, metrics
from craft_ray.annotation.background_compaction import BackgroundCompaction
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.context import RunContext
from craft_ray.annotation.passes import annotate_missing
from craft_ray.annotation.pipeline import run_pipeline
from craft_ray.annotation.plan import Attempt, ReadingPlan, group_shards
from craft_ray.annotation.prepare import ReadTask
from craft_ray.annotation.prometheus import PrometheusCounters
from craft_ray.annotation.shared_ledger import SharedLedger
from craft_ray.annotation.write import WriteTask
from craft_ray.core.connection import nodes, wait_for_resources
from craft_ray.model.decode import Decoder
from craft_ray.readers import read_options
from craft_ray.storage.shards import Shard
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.delta import TakenOverError
from craft_ray.tables.records import RunRecord
from craft_ray.tables.writer import Tables


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
