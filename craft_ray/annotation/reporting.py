"""What a run leaves to read: its record, its log lines and its summary."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from craft_ray.annotation.account import Account, summarize
from craft_ray.annotation.concepts import concepts_in_step, described, left_out_by, warn_of_other_rules
from craft_ray.annotation.context import RunContext
from craft_ray.annotation.inputs import Inputs
from craft_ray.annotation.plan import ReadingPlan
from craft_ray.core.errors import CraftRayError, RunError, StoppedError
from craft_ray.core.logs import log
from craft_ray.storage.failures import explain
from craft_ray.tables.records import RunRecord
from craft_ray.tables.writer import Tables

LOGGED = ("documents", "rejected", "entities", "tokens", "seconds")
"""Fields of the summary in a run's last log line."""


@contextmanager
def recorded(
    run: RunContext, plan: ReadingPlan, tables: Tables, account: Account, inputs: Inputs
) -> Iterator[RunRecord]:
    """Record and log the start of a run, and its end, however it ends.

    Other exceptions than CraftRayError become a RunError. Every error carries the summary so far.
    """
    if plan.shards:
        warn_of_other_rules(run.storage, tables, run.grounder)  # compares with the last run's record
    in_step = concepts_in_step(run.storage, run.output) and not plan.vanished
    if not in_step:
        run.load_lexicon()
    record = RunRecord(
        run.storage,
        run.output,
        run.run_id,
        inputs=inputs.addresses,
        output=run.output,
        model=run.checkpoint.about,
        settings=run.settings.model_dump(mode="json"),
        lexicon=described(run.grounder.lexicon) if run.grounder else None,
        left_out=left_out_by(run.grounder),
        concepts_in_step=in_step and not plan.shards,
    )
    about = {"inputs": inputs.addresses, "output": run.output, "model": run.checkpoint.fingerprint}
    read = {"shards": len(plan.shards), "bytes": account.arrivals.bytes_total}
    log.info("run started", extra={**about, **read})
    try:
        yield record
    except Exception as error:
        failure = error if isinstance(error, CraftRayError) else RunError(f"the run failed: {explain(error)}")
        failure.summary = run_summary(run, tables, account, failure.status)
        _close(record, run, tables, account, failure.status, str(failure))
        if failure is error:
            raise
        raise failure from error
    _close(record, run, tables, account, account.status)


def _close(
    record: RunRecord, run: RunContext, tables: Tables, account: Account, status: str, error: str | None = None
) -> None:
    summary = summarize(account)
    fields = {"status": status, **{name: summary[name] for name in LOGGED}} | ({"error": error} if error else {})
    if error is not None and status != StoppedError.status:
        log_end = log.error
    else:
        unusual = error is not None or summary["documents"]["rejected"] or summary["shards"]["unreadable"]
        log_end = log.warning if unusual else log.info
    log_end("run finished", extra=fields)
    record.close(status, summary, run.timeline.progress(), tables.versions(), error)


def run_summary(run: RunContext, tables: Tables, account: Account, status: str) -> dict[str, Any]:
    """The summary that `annotate` returns and `--json` prints."""
    return {
        "run_id": run.run_id,
        "status": status,
        **summarize(account),
        "model": run.checkpoint.about,
        "output": run.output,
        "tables": {name: tables.path(name) for name in ("entities", "documents", "shards")},
    }
