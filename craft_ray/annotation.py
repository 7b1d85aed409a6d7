"""A whole annotation run: check, plan, annotate, commit, settle, account."""

import hashlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from craft_ray import __version__, lease
from craft_ray.checkpoint import Checkpoint, load_checkpoint
from craft_ray.commits import Commits
from craft_ray.connection import connected, grow, stop_on_signal
from craft_ray.decode import Decoder
from craft_ray.errors import CraftRayError, RunError, SettingsError, Stopped
from craft_ray.ledger import Ledger
from craft_ray.logs import bound, log
from craft_ray.model import ModelForm, make_form
from craft_ray.pipeline import Care, Plan, Preparing, explain, is_death, make_plan, run_pipeline
from craft_ray.readers import is_shard_name
from craft_ray.runs import Account, RunRecord, kept_versions, new_run_id
from craft_ray.settings import Settings
from craft_ray.staging import StagedBlock
from craft_ray.storage import Listing, Shard, Storage, absolute, list_shards
from craft_ray.tables import Known, Tables, tables_exist
from craft_ray.telemetry import Meter

_Result = TypeVar("_Result")

HALTED_WITHIN = 5.0
"""Seconds that the pipeline has to end before the connection to Ray is closed beneath it."""


def annotate(
    inputs: Sequence[str],
    output: str,
    settings: Settings,
    on_progress: Callable[[Account], None] = lambda account: None,
) -> dict[str, Any]:
    """Annotate all documents of the inputs into the tables of an output, and return the run's summary.

    Only what is new or changed since earlier runs is annotated.

    Raises SettingsError and Busy before any work begins, RunError if the run cannot go on or does not add up, and
    Stopped on SIGINT or SIGTERM. Whatever is raised, what was committed is kept.
    """
    began = time.monotonic()
    storage, output = Storage(settings.s3, settings.patience), absolute(output)
    with stop_on_signal() as stop:
        model = _Model(settings, storage)  # loading takes as long as Ray takes to start
        listing = list_shards(storage, inputs, is_shard_name, output)
        storage.check_writable(output)
        model.fail_early()
        run_id = new_run_id()
        with lease.held(storage, output, run_id, stop.wait, log.warning), ExitStack() as connection:

            def connect() -> float:
                model.prepare()
                connection.enter_context(connected(settings))
                stop.listen()
                return time.monotonic()

            # With nothing to read, as on most nights of many schedules, Ray is not started.
            ray_ready = None
            if not tables_exist(storage, output):
                ray_ready = connect()
                model.checkpoint.result()  # a bad model is heard of before tables are made
            tables = Tables(storage, output)
            noted = tables.noted()
            if ray_ready is None and any_changed(listing.shards, noted):
                ray_ready = connect()
            checkpoint = model.checkpoint.result()
            if stop.is_set():
                raise Stopped
            account, known, signature = _plan_shards(tables, noted, listing, checkpoint, settings, began)
            if ray_ready is None and account.shards:
                ray_ready = connect()
            if ray_ready is not None:
                account.reached("ray_ready", ray_ready)
            run = _Run(settings, storage, output, run_id, checkpoint, tables, account, known, signature)
            with bound(run_id=run_id):
                return run.to_its_end([absolute(given) for given in inputs], model, stop, on_progress)


class _Model:
    """The model of a run on its way, beside all else that takes time at the start."""

    def __init__(self, settings: Settings, storage: Storage) -> None:
        self._settings = settings
        self.checkpoint = _in_background(lambda: _load(settings, storage))
        self._form: Future[ModelForm | None] | None = None

    def fail_early(self) -> None:
        """Raise what loading has raised so far, so that a bad model need not wait for Ray."""
        if self.checkpoint.done():
            self.checkpoint.result()

    def prepare(self) -> None:
        """Begin to make the form for a CPU, where the run will use this machine alone and it has no GPU."""
        settings = self._settings
        if not (settings.address or os.environ.get("RAY_ADDRESS") or ray.is_initialized()):
            self._form = _in_background(lambda: _form_here(settings, self.checkpoint.result()))

    def form(self, device: str) -> ModelForm:
        """What replicas on a kind of device are made from."""
        form = self._form.result() if self._form else None
        if form is None or form.device != device:
            chosen = self._settings
            form = make_form(self.checkpoint.result(), device, chosen.precision, chosen.engine, chosen.compile)
        return form


@dataclass(frozen=True, slots=True)
class _Run:
    """A run that has begun: the model is there, what is to be read is known, and so is Ray if anything is."""

    settings: Settings
    storage: Storage
    output: str
    run_id: str
    checkpoint: Checkpoint
    tables: Tables
    account: Account
    known: Known
    signature: str

    def to_its_end(
        self,
        inputs: list[str],
        model: _Model,
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
            model={"source": checkpoint.source, "fingerprint": checkpoint.fingerprint, "labels": checkpoint.id2label},
            settings=settings.model_dump(mode="json"),
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
            log.info("run ended", extra={"status": ours.status, "error": str(ours), **_told(ours.summary)})
            record.close(ours.status, account, self.tables.versions(), str(ours))
            if ours is error:
                raise
            raise ours from error
        summary = self._summary(account.status)
        log.info("run ended", extra={"status": account.status, **_told(summary)})
        record.close(account.status, account, self.tables.versions())
        return summary

    def _annotate_all(
        self, record: RunRecord, model: _Model, stop: threading.Event, on_progress: Callable[[Account], None]
    ) -> None:
        """All between a run's beginning and its end.

        Raises RunError if the tables and the account do not agree in the end, and Stopped if a signal came.
        """
        settings, account = self.settings, self.account
        commits = Commits(self.tables, self.known.ledger, account, self.run_id, self.signature, settings.max_rejected)
        if account.shards:
            grow(settings.wait_for, stop)
            if stop.is_set():
                raise Stopped
            plan = make_plan(settings, [node["Resources"] for node in ray.nodes() if node["Alive"]])
            form = model.form(plan.device)
            record.add(plan=asdict(plan) | {"precision": form.precision})
            account.reached("model_ready")
            if not self._annotate(plan, form, commits, stop, on_progress):
                raise Stopped
            account.reached("last_commit")
        if missing := account.missing():
            raise RunError(
                f"{len(missing):,} shards are not finished, as {missing[0].name}: the processes at work on them died "
                "each time; Ray's logs tell more"
            )
        self.tables.settle(settings.compact, kept_versions(self.storage, self.output, settings.keep_versions))
        if not account.adds_up():
            raise RunError(f"the account does not add up: {account.summary()['documents']}")
        if (rows := self.tables.counts()["documents"]) != commits.rows:
            raise RunError(f"the documents table holds {rows} rows where the account has {commits.rows}")

    def _annotate(
        self,
        plan: Plan,
        form: ModelForm,
        commits: Commits,
        stop: threading.Event,
        on_progress: Callable[[Account], None],
    ) -> bool:
        """Pass over the shards until nothing is missing; false if a signal came."""
        shipped = ray.put(form)
        meter = Meter()

        def show(account: Account) -> None:
            meter.show(account.totals())
            on_progress(account)

        for care in Care:
            unread, missing = self.account.unread(), self.account.missing()
            if not missing:
                break
            self.account.forget(missing)
            log.info("pass began", extra={"care": care.name.lower(), "shards": len(missing)})
            halt = threading.Event()
            blocks = run_pipeline(
                missing,
                care=care,
                unread=unread,
                halt=halt,
                plan=plan,
                storage=self.storage,
                form=shipped,
                preparing=ray.put(self._preparing()),
                output=self.output,
                run_id=self.run_id,
                decoder=Decoder.of(self.checkpoint),
                keep_text=self.settings.keep_text,
                partition_by=self.tables.partition_by,
            )
            with _collected(blocks, halt) as arrived:
                _commit_all(arrived, commits, self.account, stop, show, forgiving=care is not Care.REFUSE)
            if stop.is_set():
                break
        commits.recount()
        return not stop.is_set()

    def _preparing(self) -> Preparing:
        """What read tasks need to know now."""
        return Preparing(
            self.checkpoint.tokenizer,
            self.checkpoint.max_pieces,
            self.checkpoint.window_pieces,
            self.checkpoint.fingerprint,
            Ledger.of(self.known.ledger.merged()),
            self.known.rejected,
            np.array(sorted(shard.number for shard in self.account.shards), np.int64),
            self.settings.format,
            self.run_id,
            self.settings.log_format,
        )

    def _summary(self, status: str) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "status": status,
            **self.account.summary(),
            "model": {"source": self.checkpoint.source, "fingerprint": self.checkpoint.fingerprint},
            "output": self.output,
            "tables": {name: self.tables.path(name) for name in ("entities", "documents", "shards")},
        }


def any_changed(shards: Sequence[Shard], noted: pa.Table) -> bool:
    """Whether any shard is not as it was when it was read whole, so that it must be read whatever the model."""
    whole = noted.filter(pc.is_null(noted["reason"]))
    known = set(zip(*(whole[name].to_pylist() for name in ("shard", "size", "tag")), strict=True))
    return any((shard.name, shard.size, shard.tag) not in known for shard in shards)


def _plan_shards(
    tables: Tables, noted: pa.Table, listing: Listing, checkpoint: Checkpoint, settings: Settings, began: float
) -> tuple[Account, Known, str]:
    """The account of a run before it begins, what the tables hold, and the signature of its shards.

    noted: what the table `shards` holds

    A shard is read if it has changed since it was read whole, or would now be read in another way. If none is, what the
    tables hold need not be known.
    """
    how = [__version__, checkpoint.fingerprint, settings.format]
    signature = hashlib.blake2b(json.dumps(how).encode(), digest_size=16).hexdigest()
    read = noted.filter(pc.and_(pc.equal(noted["signature"], signature), pc.is_null(noted["reason"])))
    columns = [read[name].to_pylist() for name in ("shard", "size", "tag", "found")]
    whole = {(name, size, tag): found for name, size, tag, found in zip(*columns, strict=True)}
    to_read = [shard for shard in listing.shards if (shard.name, shard.size, shard.tag) not in whole]
    documents = sum(whole.get((shard.name, shard.size, shard.tag), 0) for shard in listing.shards)
    known = tables.known([shard.name for shard in to_read], noted) if to_read else Known.nothing()
    shards = [replace(shard, number=known.number[shard.name]) for shard in to_read]
    account = Account(shards, listing.passed_over, (len(listing.shards) - len(to_read), documents), began)
    return account, known, signature


def _load(settings: Settings, storage: Storage) -> Checkpoint:
    checkpoint = load_checkpoint(settings.model, storage.fetch)
    if settings.model_sha256 not in (None, checkpoint.fingerprint):
        raise SettingsError(
            f"the model {settings.model} has the fingerprint {checkpoint.fingerprint}, not model_sha256"
        )
    return checkpoint


def _form_here(settings: Settings, checkpoint: Checkpoint) -> ModelForm | None:
    """A checkpoint's form for a CPU; None on a machine with a GPU."""
    if checkpoint.stand_in is None:
        import torch

        if torch.cuda.is_available():
            return None
    return make_form(checkpoint, "cpu", settings.precision, settings.engine, settings.compile)


def _told(summary: dict[str, Any]) -> dict[str, Any]:
    """What the last log line of a run says of it."""
    return {name: summary[name] for name in ("documents", "rejected", "entities", "tokens", "seconds")}


def _in_background(work: Callable[[], _Result]) -> "Future[_Result]":
    """What a function gives, once it is there."""
    pool = ThreadPoolExecutor(1, "craft-ray-loading")
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)


def _commit_all(
    arrived: "queue.Queue[StagedBlock | BaseException | None]",
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


def _take(arrived: "queue.Queue[StagedBlock | BaseException | None]") -> list[StagedBlock | BaseException | None]:
    """All that has arrived, after waiting a little for the first."""
    ready = []
    try:
        ready.append(arrived.get(timeout=0.2))
        while True:
            ready.append(arrived.get_nowait())
    except queue.Empty:
        return ready


@contextmanager
def _collected(
    blocks: Iterator[StagedBlock], halt: threading.Event
) -> Iterator["queue.Queue[StagedBlock | BaseException | None]"]:
    """Run the pipeline in a thread; its blocks, then None or its error, come through the queue."""
    arrived: queue.Queue[StagedBlock | BaseException | None] = queue.Queue()

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
