"""A whole annotation run: check, plan, annotate, commit, settle, account.

Ray is imported where there is something to read: on a night with nothing new that would be most of the time.
"""

import importlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from craft_ray.annotation.account import Account
from craft_ray.annotation.cluster_plan import Plan, make_plan
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.concepts import (
    concepts_in_step,
    described,
    left_out_by,
    load_run_grounder,
    warn_of_other_rules,
    with_ontologies_of,
    write_concepts,
)
from craft_ray.annotation.finished import read_finished
from craft_ray.annotation.loading import ModelLoading
from craft_ray.annotation.plan import Attempt, group_shards, plan_shards
from craft_ray.annotation.prune import prune
from craft_ray.annotation.rewrites import run_on_cluster
from craft_ray.annotation.write import WriteTask
from craft_ray.concepts.grounding import Grounder
from craft_ray.core.connection import nodes, ray_session, wait_for_resources
from craft_ray.core.errors import CraftRayError, RunError, SettingsError, StoppedError
from craft_ray.core.logs import log, log_fields
from craft_ray.core.settings import Settings
from craft_ray.core.signals import stop_on_signal
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.decode import Decoder
from craft_ray.model.inference import DeployedModel
from craft_ray.model.precision import check_choice
from craft_ray.readers import deletions, is_shard_name, read_options
from craft_ray.storage.addresses import absolute
from craft_ray.storage.failures import explain
from craft_ray.storage.file_list import read_file_list
from craft_ray.storage.listing import file_of_format, list_shards
from craft_ray.storage.shards import FILES, Listing, Shard
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import WrittenBlock
from craft_ray.tables.delta import TakenOverError
from craft_ray.tables.known import Known
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.ledger import Ledger
from craft_ray.tables.output import tables_exist
from craft_ray.tables.records import RunRecord, kept_versions, last_model, new_run_id
from craft_ray.tables.writer import Tables

if TYPE_CHECKING:
    from craft_ray.annotation.prepare import ReadTask

_ON_RAY = tuple(
    f"craft_ray.annotation.{name}"
    for name in ("passes", "pipeline", "prepare", "prometheus", "shared_ledger", "background_compaction")
)
"""Modules of a run that import Ray. They are imported before Ray is connected to.

Where several nodes share a machine, a node that is done with a job's package removes its files under the driver."""


def annotate(
    inputs: Sequence[str],
    output: str,
    settings: Settings,
    on_progress: Callable[[Account], None] = lambda account: None,
    inputs_from: str | None = None,
    deleted_from: str | None = None,
) -> dict[str, Any]:
    """Annotate all documents of the inputs into the tables of an output, and return the run's summary.

    inputs_from:  a list of further files, as `read_file_list` reads it
    deleted_from: a list of ids to delete, as `readers.deletions` reads it

    Only what is new or changed since earlier runs is annotated.

    Raises SettingsError and OutputBusyError before any work begins. Raises RunError if the run cannot go on or does not
    add up, and StoppedError on SIGINT or SIGTERM. Whatever is raised, what was committed is kept.
    """
    began = time.monotonic()
    read_options(settings)  # a bad one is told before any work
    check_choice(settings.precision, settings.engine)
    storage, output = Storage(settings.s3, settings.patience), absolute(output)
    with stop_on_signal() as stop:
        model = ModelLoading(settings, storage)  # loading takes as long as Ray takes to start
        complete = settings.prune
        if complete and not (inputs or inputs_from):
            raise SettingsError("nothing can be pruned without inputs: name all files that the source has")
        listing = list_shards(
            storage, inputs, is_shard_name, output, _listed(storage, inputs_from, deleted_from, complete), complete
        )
        storage.check_writable(output)
        model.fail_early()
        run_id = new_run_id()
        with hold_lease(storage, output, run_id, stop.wait, log.warning) as lost, ExitStack() as connection:
            grounder: Grounder | None = None
            asked, settings = settings, with_ontologies_of(storage, output, settings)

            def load_lexicon() -> None:
                nonlocal grounder
                checkpoint = model.checkpoint.result()  # a bad model ends the run before tables are made
                grounder = load_run_grounder(asked, settings, storage, checkpoint)

            def connect() -> float:
                model.prepare()
                load_lexicon()
                for module in _ON_RAY:
                    importlib.import_module(module)
                connection.enter_context(ray_session(settings))
                stop.listen()
                return time.monotonic()

            # With nothing to read, as on most nights of many schedules, Ray is not started.
            ray_ready = None
            if not tables_exist(storage, output):
                ray_ready = connect()
            tables = Tables(storage, output, run_id, run_on_cluster)
            finished = read_finished(tables, listing, settings.prune)
            if ray_ready is None and finished.any_changed():
                ray_ready = connect()
            checkpoint = model.checkpoint.result()
            _check_model(storage, tables, checkpoint.fingerprint, settings)
            if stop.is_set():
                raise StoppedError
            plan = plan_shards(tables, finished, listing, checkpoint, settings, began)
            account, known, signature, vanished = plan
            if ray_ready is None and account.shards:
                ray_ready = connect()
            if ray_ready is not None:
                warn_of_other_rules(storage, tables, grounder)
                account.timeline.reached("ray_ready", ray_ready)
            in_step = concepts_in_step(storage, output) and not vanished.shards
            if grounder is None and not in_step:
                load_lexicon()
            pruned = listing if settings.prune and (vanished.shards or account.shards) else None
            del listing, finished  # of millions of files they are a gigabyte
            state = (checkpoint, grounder, in_step, tables, account, known, signature, pruned, lost)
            run = _Run(settings, storage, output, run_id, *state)
            with log_fields(run_id=run_id):
                named = [*(absolute(given) for given in inputs), *filter(None, (inputs_from, deleted_from))]
                return run.to_its_end(named, model, stop, on_progress)


def _listed(storage: Storage, inputs_from: str | None, deleted_from: str | None, complete: bool) -> pa.Table:
    """The files that are named beside the inputs, rows of FILES."""
    listed = [read_file_list(storage, inputs_from, complete)] if inputs_from else []
    listed += [file_of_format(storage, deleted_from, deletions.READER.name)] if deleted_from else []
    return pa.concat_tables([FILES.empty_table(), *listed])


def _check_model(storage: Storage, tables: Tables, fingerprint: str, settings: Settings) -> None:
    """Raise SettingsError if the tables hold documents that another model has annotated, unless that is asked for."""
    last = last_model(storage, tables.output)
    held = tables.counts()["documents"]
    if last and held and last["fingerprint"] != fingerprint and not settings.replace_model:
        raise SettingsError(
            f"the {held:,} documents of {tables.output} were annotated by another model ({last['source']}, fingerprint "
            f"{last['fingerprint'][:12]}) than {settings.model}: --replace-model annotates those that are given again, "
            "and leaves the others as they are"
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that has begun: the model is there, what is to be read is known, and so is Ray if anything is."""

    settings: Settings
    storage: Storage
    output: str
    run_id: str
    checkpoint: Checkpoint
    grounder: Grounder | None
    in_step: bool
    """True if the run before left the tables of concepts in step with `entities`."""
    tables: Tables
    account: Account
    known: Known
    signature: str
    pruned: Listing | None
    """All files of the inputs, if documents that are in none of them are to be removed."""
    lost: threading.Event
    """Set when another run has taken the lease."""

    def to_its_end(
        self,
        inputs: list[str],
        model: ModelLoading,
        stop: threading.Event,
        on_progress: Callable[[Account], None],
    ) -> dict[str, Any]:
        """Annotate, settle, and return the summary; however it ends, its record tells."""
        settings, checkpoint, account = self.settings, self.checkpoint, self.account
        record = RunRecord(
            self.storage,
            self.output,
            self.run_id,
            inputs=inputs,
            output=self.output,
            model=checkpoint.about,
            settings=settings.model_dump(mode="json"),
            lexicon=described(self.grounder.lexicon) if self.grounder else None,
            left_out=left_out_by(self.grounder),
            concepts_in_step=self.in_step and not account.shards,
        )
        log.info(
            "run began",
            extra={
                "inputs": inputs,
                "output": self.output,
                "model": checkpoint.fingerprint,
                "shards": len(account.shards),
                "bytes": account.bytes_total,
            },
        )
        try:
            self._annotate_all(record, model, stop, on_progress)
        except Exception as error:
            ours = error if isinstance(error, CraftRayError) else RunError(f"the run failed: {explain(error)}")
            ours.summary = self._summary(ours.status)
            tell = log.warning if ours.status == StoppedError.status else log.error
            tell("run ended", extra={"status": ours.status, "error": str(ours), **_told(ours.summary)})
            record.close(ours.status, account.summary(), account.timeline.progress(), self.tables.versions(), str(ours))
            if ours is error:
                raise
            raise ours from error
        summary = self._summary(account.status)
        tell = log.warning if summary["documents"]["rejected"] or summary["shards"]["unreadable"] else log.info
        tell("run ended", extra={"status": account.status, **_told(summary)})
        record.close(account.status, account.summary(), account.timeline.progress(), self.tables.versions())
        return summary

    def _annotate_all(
        self, record: RunRecord, model: ModelLoading, stop: threading.Event, on_progress: Callable[[Account], None]
    ) -> None:
        """All between a run's beginning and its end.

        Raises RunError if the tables and the account do not agree in the end, and StoppedError if a signal came.
        """
        settings, account = self.settings, self.account
        commits = Commits(self.tables, self.known.ledger, account, self.run_id, self.signature, settings.max_rejected)
        if account.shards:
            wait_for_resources(settings.wait_for, stop)
            if stop.is_set():
                raise StoppedError
            plan = make_plan(settings, nodes())
            deployed = model.form(plan.device)
            record.add(plan=asdict(plan) | {"precision": deployed.precision})
            account.timeline.reached("model_ready")
            self._annotate(plan, deployed, commits, stop, on_progress)
            if stop.is_set():
                raise StoppedError
            account.timeline.reached("last_commit")
        if missing := account.missing():
            raise RunError(
                f"{len(missing):,} shards are not finished, as {missing[0].name}: the processes at work on them died "
                "each time; Ray's logs tell more"
            )
        if self.pruned:
            given = np.concatenate([np.empty(0, np.int64), *account.given])
            account.pruned = prune(self.tables, self.pruned, self.run_id, given)
        if self.grounder:
            write_concepts(self.tables, self.grounder.lexicon)
            record.add(concepts_in_step=True)
        kept = kept_versions(self.storage, self.output, settings.keep_versions)
        self.tables.finish(settings.compact, kept, stop.is_set)
        if not account.adds_up():
            raise RunError(f"the account does not add up: {account.summary()['documents']}")
        if (rows := self.tables.counts()["documents"]) != (expected := commits.rows - account.pruned):
            raise RunError(f"the documents table holds {rows} rows where the account has {expected}")

    def _annotate(
        self,
        plan: Plan,
        deployed: DeployedModel,
        commits: Commits,
        stop: threading.Event,
        on_progress: Callable[[Account], None],
    ) -> None:
        """Annotate and commit what is missing, or what of it is done when a signal comes."""
        import ray

        from craft_ray.annotation.background_compaction import BackgroundCompaction
        from craft_ray.annotation.passes import annotate_missing
        from craft_ray.annotation.pipeline import run_pipeline
        from craft_ray.annotation.prometheus import PrometheusCounters
        from craft_ray.annotation.shared_ledger import SharedLedger

        shipped = ray.put(deployed)
        meter = PrometheusCounters()
        write = WriteTask(
            self.storage,
            self.output,
            self.run_id,
            Decoder.of(self.checkpoint),
            self.settings.keep_text,
            self.tables.partition_by,
            ray.put(self.grounder) if self.grounder else None,
        )

        def pipeline(shards: Sequence[Shard], attempt: Attempt, halt: threading.Event) -> Iterator[WrittenBlock]:
            read = ray.put((self._read_task(attempt), SharedLedger.of(self.known.ledger)))
            self.account.forget(shards)
            groups = group_shards(shards, plan, attempt, self.account.read_whole)
            return run_pipeline(groups, attempt, plan, shipped, read, write, halt)

        def show(account: Account) -> None:
            if self.lost.is_set():
                raise TakenOverError(self.output)
            meter.show(account.totals())
            on_progress(account)
            if self.settings.compact:
                compaction.poll()

        compaction = BackgroundCompaction(self.tables)
        try:
            annotate_missing(pipeline, commits, self.account, stop, show)
            if not stop.is_set():
                compaction.finish()
        finally:
            compaction.cancel()

    def _read_task(self, attempt: Attempt) -> "ReadTask":
        """The read task for a pass that begins now."""
        from craft_ray.annotation.prepare import ReadTask

        return ReadTask.of(
            self.checkpoint,
            Ledger(),  # its place is taken by the shared one
            rejected=self.known.rejected,
            read=self.account.numbers,
            unread=frozenset(self.account.unread() if attempt is Attempt.REJECT else ()),
            options=read_options(self.settings),
            limit=self.settings.limit,
            with_ids=self.account.with_ids,
            run_id=self.run_id,
            log_format=self.settings.log_format,
        )

    def _summary(self, status: str) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "status": status,
            **self.account.summary(),
            "model": self.checkpoint.about,
            "output": self.output,
            "tables": {name: self.tables.path(name) for name in ("entities", "documents", "shards")},
        }


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """Fields of a run's last log line."""
    return {name: summary[name] for name in ("documents", "rejected", "entities", "tokens", "seconds")}
