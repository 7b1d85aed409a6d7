"""A whole annotation run: check, plan, annotate, commit, settle, account."""

import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import ray

from craft_ray.checkpoint import Checkpoint, load_checkpoint
from craft_ray.connection import connected, stop_on_signal
from craft_ray.decode import Decoder
from craft_ray.errors import CraftRayError, RunError, Stopped
from craft_ray.ledger import Fate, Ledger, State
from craft_ray.model import ModelForm, make_form
from craft_ray.pipeline import Preparing, make_plan, run_pipeline
from craft_ray.readers import is_shard_name
from craft_ray.runs import Account, RunRecord
from craft_ray.schema import RETRACTED
from craft_ray.settings import Settings
from craft_ray.staging import StagedBlock
from craft_ray.storage import Shard, Storage, absolute, list_shards
from craft_ray.tables import Tables

_Result = TypeVar("_Result")

TRIES = 3
"""Times that a shard is read whose documents did not all arrive."""

COMMIT_SHARE, LONGEST_WAIT = 0.05, 10.0
"""Share of the time that commits may take, and seconds that a block waits for its commit at the most."""

REPLACE_AFTER, REPLACE_AT = 30.0, 20_000
"""Seconds for which revised documents are collected, and how many: each replacement rewrites files of the tables."""


def annotate(
    inputs: Sequence[str],
    output: str,
    settings: Settings,
    on_progress: Callable[[Account], None] = lambda account: None,
) -> dict[str, Any]:
    """Annotate all documents of the inputs into the tables of an output, and return the run's summary.

    Only what is new or changed since earlier runs is annotated.

    Raises SettingsError before any work begins, RunError if the run cannot go on or does not add up, and Stopped on
    SIGINT or SIGTERM. Whatever is raised, what was committed is kept.
    """
    began = time.monotonic()
    storage, output = Storage(settings.s3), absolute(output)
    loading = _in_background(lambda: _load(settings, storage))  # takes as long as Ray takes to start
    listing = list_shards(storage, inputs, is_shard_name, output)
    storage.check_writable(output)
    if loading.done():
        loading.result()  # a bad model need not wait for Ray

    with connected(settings), stop_on_signal() as stop:
        ray_ready = time.monotonic()
        checkpoint, form = loading.result()
        tables = Tables(storage, output)
        ledger, numbers = tables.known(shard.name for shard in listing.shards)
        shards = [Shard(shard.name, shard.size, numbers[shard.name]) for shard in listing.shards]
        account = Account(shards, listing.passed_over, began)
        account.reached("ray_ready", ray_ready)
        plan = make_plan(settings, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        if form is None or form.device != plan.device:
            form = make_form(checkpoint, plan.device, settings.precision, settings.engine, settings.compile)
        record = RunRecord(
            storage,
            output,
            inputs=[absolute(given) for given in inputs],
            output=output,
            model={"source": checkpoint.source, "fingerprint": checkpoint.fingerprint, "labels": checkpoint.id2label},
            settings=settings.model_dump(mode="json"),
            plan=asdict(plan) | {"precision": form.precision},
        )
        commits = _Commits(tables, ledger, account)
        form_ref = ray.put(form)
        account.reached("model_ready")
        status, failure = "failed", None
        try:
            for _ in range(TRIES):
                missing = account.missing()
                if not missing:
                    break
                account.forget(missing)
                shared = Preparing(
                    checkpoint.tokenizer,
                    checkpoint.max_pieces,
                    checkpoint.window_pieces,
                    checkpoint.fingerprint,
                    Ledger.of(ledger.merged()),
                    settings.format,
                )
                blocks = run_pipeline(
                    missing,
                    plan=plan,
                    storage=storage,
                    form=form_ref,
                    preparing=ray.put(shared),
                    output=output,
                    run_id=record.run_id,
                    decoder=Decoder.of(checkpoint),
                    keep_text=settings.keep_text,
                )
                with _collected(blocks) as arrived:
                    _commit_all(arrived, commits, account, stop, on_progress)
                if stop.is_set():
                    status = "stopped"
                    _recount(account, tables, record.run_id)
                    raise Stopped(_summary(record.run_id, status, output, tables, account))
            _recount(account, tables, record.run_id)
            account.reached("last_commit")
            tables.settle(settings.compact)
            if not account.adds_up():
                raise RunError(f"the account does not add up: {account.summary()['documents']}")
            if (rows := tables.counts()["documents"]) != commits.rows:
                raise RunError(f"the documents table holds {rows} rows where the account has {commits.rows}")
            status = "finished"
            return _summary(record.run_id, status, output, tables, account)
        except CraftRayError as error:
            failure = str(error)
            raise
        except Exception as error:
            failure = _cause(error)
            raise RunError(f"the run failed: {failure}") from error
        finally:
            record.close(status, account, failure)


def _load(settings: Settings, storage: Storage) -> tuple[Checkpoint, ModelForm | None]:
    """The checkpoint; and its form for a CPU, where the run will use this machine and it has no GPU."""
    checkpoint = load_checkpoint(settings.model, storage.fetch)
    if checkpoint.stand_in is None:
        import torch

        if settings.address or ray.is_initialized() or torch.cuda.is_available():
            return checkpoint, None
    return checkpoint, make_form(checkpoint, "cpu", settings.precision, settings.engine, settings.compile)


def _in_background(work: Callable[[], _Result]) -> "Future[_Result]":
    """What a function gives, once it is there."""
    pool = ThreadPoolExecutor(1, "craft-ray-loading")
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)


class _Commits:
    """Commits blocks as they come: new documents at once, revisions collected for a while."""

    def __init__(self, tables: Tables, ledger: Ledger, account: Account) -> None:
        self._tables = tables
        self._ledger = ledger
        self._account = account
        self._new: list[StagedBlock] = []
        self._revised: list[StagedBlock] = []
        self._kept: list[np.ndarray[Any, np.dtype[np.bool_]]] = []
        self._since = time.monotonic()
        self._next = 0.0
        self.rows = len(ledger)

    def add(self, block: StagedBlock) -> None:
        """Judge a block's documents against all that was committed or judged before."""
        self._account.arrived(block)
        held, _ = self._ledger.lookup(block.entries["id"])
        fates = self._ledger.fates(block.entries)
        new = fates == Fate.NEW
        kept = new | np.isin(fates, (Fate.REPLACES, Fate.RESTATED))
        # Superseded are those that lose against what is there, and those of this run that lose against these.
        self._account.superseded += int((~kept).sum() + (kept & (held["state"] == State.WRITTEN)).sum())
        self._ledger.update(block.entries[kept], State.WRITTEN if new.all() else State.WAITING)
        self.rows += int(new.sum()) - block.status.count(RETRACTED)
        if new.all():
            self._new.append(block)
        else:
            if not self._revised:
                self._since = time.monotonic()
            self._revised.append(block)
            self._kept.append(kept)

    def commit(self, all: bool = False) -> None:
        """Commit what is due; with `all`, everything."""
        if self._new and (all or time.monotonic() >= self._next):
            began = time.monotonic()
            self._tables.append(self._new)
            self._account.wrote(self._new)
            self._new = []
            self._next = time.monotonic() + min(LONGEST_WAIT, (time.monotonic() - began) / COMMIT_SHARE)
        waiting = sum(len(block.entries) for block in self._revised)
        if self._revised and (all or waiting >= REPLACE_AT or time.monotonic() - self._since > REPLACE_AFTER):
            kept = sum(int(mask.sum()) for mask in self._kept)
            retracted = sum(block.status.count(RETRACTED) for block in self._revised)
            written = self._tables.replace(self._revised, self._kept)
            self._ledger.written()
            # Those that were kept when they came, and beaten by a better revision while they waited.
            self._account.superseded += kept - retracted - written
            self._account.wrote(self._revised)
            self._account.exact = False
            self._revised, self._kept = [], []


def _commit_all(
    arrived: "queue.Queue[StagedBlock | BaseException | None]",
    commits: _Commits,
    account: Account,
    stop: threading.Event,
    on_progress: Callable[[Account], None],
) -> None:
    """Commit blocks in groups, as they gather during each commit, until the pipeline ends or a signal comes."""
    open_ = True
    while open_ and not stop.is_set():
        ready = _take(arrived)
        for block in ready:
            if isinstance(block, BaseException):
                commits.commit(all=True)
                raise block
            if block is None:
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
def _collected(blocks: Iterator[StagedBlock]) -> Iterator["queue.Queue[StagedBlock | BaseException | None]"]:
    """Run the pipeline in a thread; its blocks, then None or its error, come through the queue."""
    arrived: queue.Queue[StagedBlock | BaseException | None] = queue.Queue()
    ended = threading.Event()

    def collect() -> None:
        try:
            for block in blocks:
                arrived.put(block)
                if ended.is_set():
                    return
            arrived.put(None)
        except BaseException as error:  # raised again by the thread that commits
            arrived.put(error)

    threading.Thread(target=collect, name="craft-ray-pipeline", daemon=True).start()
    try:
        yield arrived
    finally:
        ended.set()


def _recount(account: Account, tables: Tables, run_id: str) -> None:
    """Make the counts exact where revisions have replaced rows that this very run wrote."""
    if not account.exact:
        account.statuses, account.reasons, account.labels = tables.written_by(run_id)
        account.exact = True


def _cause(error: BaseException) -> str:
    """What went wrong in a worker: the innermost error, which Ray keeps as the text of its stack trace alone."""
    if found := re.search(r"^(\w[\w.]*: .+)\n\s*\n?The above exception", str(error), re.MULTILINE):
        return found.group(1)
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _summary(run_id: str, status: str, output: str, tables: Tables, account: Account) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "status": status,
        **account.summary(),
        "output": output,
        "tables": {name: tables.path(name) for name in ("entities", "documents")},
    }
