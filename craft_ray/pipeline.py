"""The chain of Ray Data stages from shards to staged blocks; the only module that builds one.

groups of shards -> prepare (tasks) -> Replica (actor pool) -> stage (tasks) -> StagedBlock

A document that kills the process it is in would take its block with it for ever, so passes over what is missing grow in
`Care`.
"""

import json
import logging
import os
import pickle
import threading
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data
from numpy.typing import NDArray
from ray.data._internal.execution.execution_callback import ExecutionCallback
from tokenizers import Tokenizer

from craft_ray.decode import Decoder
from craft_ray.errors import CraftRayError, RunError, StorageDown
from craft_ray.faults import cause
from craft_ray.ledger import Ledger
from craft_ray.logs import LogFormat, bound, log_as
from craft_ray.model import ModelForm
from craft_ray.prepare import ROWS, Preparer, failure_of
from craft_ray.replica import Replica
from craft_ray.settings import Settings
from craft_ray.staging import StagedBlock, stage
from craft_ray.storage import Shard, Storage


@dataclass(frozen=True, slots=True)
class Plan:
    """How the work is laid on the cluster. CPUs are logical shares by which Ray places tasks and actors."""

    replicas: int
    device: str
    token_budget: int
    threads: int
    block_bytes: int
    replica_cpus: float
    replica_gpus: float
    read_cpus: float
    write_cpus: float


def make_plan(settings: Settings, nodes: Sequence[dict[str, float]]) -> Plan:
    """Lay out a run on nodes given by their resources (`CPU`, `GPU`): one replica a GPU, else one for eight cores.

    Replicas claim a quarter of the cores that they compute on, so that tasks always find room: a pool that claims all
    cores of a machine, or of what a cluster has left after losing nodes, would wait for input forever. The three claims
    differ, since Ray fuses stages with equal ones into one, and then nothing overlaps.
    """
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    smallest = min((int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1), default=1)
    if gpus:
        replicas, threads, replica_cpus = settings.replicas or gpus, 1, 0.5
    else:
        threads = min(8, smallest)
        replicas = settings.replicas or max(1, sum(int(node.get("CPU", 0)) // threads for node in nodes))
        threads = max(1, min(smallest, int(cpus) // replicas))
        replica_cpus = round(0.25 * min(threads, cpus / replicas), 3)
    small = cpus < 8
    return Plan(
        replicas=replicas,
        device="cuda" if gpus else "cpu",
        token_budget=settings.token_budget or (65_536 if gpus else 512),
        threads=threads,
        block_bytes=int((settings.block_mb or (16 if gpus else 2)) * (1 << 20)),
        replica_cpus=replica_cpus,
        replica_gpus=round(min(1.0, gpus / replicas), 3) if gpus else 0,
        read_cpus=0.31 if small else 0.91,
        write_cpus=0.21 if small else 0.61,
    )


class Care(IntEnum):
    """How a pass treats what earlier passes did not bring through: blocks that ended their process each time."""

    NORMAL = 0
    AGAIN = 1
    """What chance has taken comes through now."""
    ALONE = 2
    """Each document is a block of its own."""
    REFUSE = 3
    """Documents still missing, and shards that were not read to their end, are rejected."""


REPLICA_RETRIES, TASK_RETRIES = 1, 2
"""Times that a block is given to the pool again after its replica died, and a shard or a block to another worker."""

LOST = "its process died each time"
"""What the account says of a document or a shard that no pass could bring through."""


def run_pipeline(
    shards: Sequence[Shard],
    *,
    care: Care,
    unread: Collection[int],
    halt: threading.Event,
    plan: Plan,
    storage: Storage,
    form: "ray.ObjectRef[ModelForm]",
    preparing: "ray.ObjectRef[Preparing]",
    output: str,
    run_id: str,
    decoder: Decoder,
    keep_text: bool,
    partition_by: Sequence[str],
) -> Iterator[StagedBlock]:
    """Run shards through the stages; yield each block once its files are written.

    unread: numbers of the shards that no pass so far has read to the end
    halt:   ends the work within a second when set; raises Halted

    Raises RunError for what no other pass would mend.
    """
    _running.halt = halt
    # Its notices are about settings made here on purpose, and its errors are raised as well.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    groups = [
        {
            "shards": json.dumps([asdict(shard) for shard in group]),
            "refused": json.dumps([shard.number for shard in group if care is Care.REFUSE and shard.number in unread]),
        }
        for group in _groups(shards, plan, care)
    ]
    # The only way to bound these retries is deprecated in Ray 2.60 and has no successor yet.
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    warnings.filterwarnings("ignore", message="The minimum number of concurrent actors")  # true of every small run
    dataset = ray.data.from_items(groups, override_num_blocks=len(groups))
    _configure(dataset.context, plan, care)
    staged = (
        dataset.map_batches(
            prepare_shards,
            fn_kwargs={"storage": storage, "preparing": preparing, "care": care},
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=plan.read_cpus,
            max_retries=TASK_RETRIES,
        )
        .map_batches_internal(  # for `map_batches` refuses whole blocks, which is what a replica takes, on a GPU
            Replica,
            fn_constructor_kwargs={
                "form": form,
                "token_budget": plan.token_budget,
                "threads": plan.threads,
            },
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            # A replica takes with it all that it was given, so where each document counts it is given one at a time.
            compute=ray.data.ActorPoolStrategy(
                size=plan.replicas, max_tasks_in_flight_per_actor=1 if care is Care.ALONE else None
            ),
            num_cpus=plan.replica_cpus,
            num_gpus=plan.replica_gpus or None,
            max_task_retries=REPLICA_RETRIES,
            scheduling_strategy="SPREAD",  # each to a node of its own, where there are as many
        )
        .map_batches(
            stage_blocks,
            fn_kwargs={
                "storage": storage,
                "output": output,
                "run_id": run_id,
                "decoder": decoder,
                "keep_text": keep_text,
                "partition_by": partition_by,
            },
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=plan.write_cpus,
            max_retries=TASK_RETRIES,
        )
    )
    for batch in staged.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for content in batch["staged"] if batch.num_rows else ():
            block = pickle.loads(content.as_py())  # written by `stage_blocks` of this very run
            failure = block if isinstance(block, str) else block.failure
            if failure is not None:
                raise RunError(failure)
            yield block


@dataclass(frozen=True, slots=True)
class Preparing:
    """What read tasks share through the object store; `ledger` is mapped, not copied."""

    tokenizer: str
    max_pieces: int
    window_pieces: int
    fingerprint: str
    ledger: Ledger
    rejected: dict[str, list[str]]
    read: NDArray[np.int64]
    format: str | None
    run_id: str
    log_format: LogFormat


def prepare_shards(
    batch: pa.Table, storage: Storage, preparing: "ray.ObjectRef[Preparing]", care: Care
) -> Iterator[pa.Table]:
    """Read task: shards of one group to prepared tables."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # Ray runs as many tasks as there are cores
    shared: Preparing = ray.get(preparing)
    log_as(shared.log_format)
    preparer = Preparer(
        _tokenizer(shared.tokenizer),
        shared.max_pieces,
        shared.window_pieces,
        shared.fingerprint,
        shared.ledger,
        shared.rejected,
        shared.read,
        rows_at_once=1 if care is Care.ALONE else ROWS,
        refusal=LOST if care is Care.REFUSE else None,
    )
    try:
        for group in batch.to_pylist():
            refused = set(json.loads(group["refused"]))
            for fields in json.loads(group["shards"]):
                shard = Shard(**fields)
                with bound(run_id=shared.run_id, shard=shard.name):
                    if shard.number in refused:
                        yield preparer.closing(shard.name, shard.number, "failed", LOST)
                    else:
                        yield from _prepared(preparer, shard, storage, shared.format)
    except Exception as error:
        yield failure_of(explain(error))


def _prepared(preparer: Preparer, shard: Shard, storage: Storage, format: str | None) -> Iterator[pa.Table]:
    try:
        stream = storage.open(shard.name)
    except StorageDown:
        raise
    except Exception as error:  # whatever storage raises costs this shard alone
        yield preparer.closing(shard.name, shard.number, "unreadable", cause(error))
        return
    with stream:
        yield from preparer.prepare(stream, shard.name, shard.number, format)


def stage_blocks(
    block: pa.Table,
    storage: Storage,
    output: str,
    run_id: str,
    decoder: Decoder,
    keep_text: bool,
    partition_by: Sequence[str],
) -> pa.Table:
    """Write task: one block to files; gives one small row for the driver."""
    if block.num_rows == 0:
        return pa.table({"staged": pa.array([], pa.binary())})
    try:
        told = pickle.dumps(stage(block, storage, output, run_id, decoder, keep_text, partition_by))
    except Exception as error:  # Ray Data would drop it with its block
        told = pickle.dumps(explain(error))
    return pa.table({"staged": pa.array([told], pa.binary())})


@lru_cache(maxsize=1)
def _tokenizer(serialized: str) -> Tokenizer:
    return Tokenizer.from_str(serialized)


def _groups(shards: Sequence[Shard], plan: Plan, care: Care) -> Iterator[list[Shard]]:
    """Shards for one task: small files together, so that Ray's cost a task does not show."""
    if care > Care.AGAIN:
        yield from ([shard] for shard in shards)
        return
    total = sum(shard.size for shard in shards)
    target = min(16 << 20, max(64 << 10, total // (8 * plan.replicas)))
    group: list[Shard] = []
    size = 0
    for shard in shards:
        group.append(shard)
        size += shard.size
        if size >= target or len(group) >= 1000:
            yield group
            group, size = [], 0
    if group:
        yield group


class Halted(Exception):
    """The pipeline was told to end."""


_running = threading.local()
"""`halt` of the pipeline that this thread runs."""


class _Halting(ExecutionCallback):  # type: ignore[misc]
    """Ends an execution of Ray Data, which has no public way to be ended from another thread."""

    def before_execution_starts(self, executor: Any) -> None:
        """In the thread that runs the pipeline."""
        self._halt = _running.halt

    def on_execution_step(self, executor: Any) -> None:
        """In the thread that schedules, some ten times a second."""
        if self._halt.is_set():
            raise Halted


def _configure(context: Any, plan: Plan, care: Care) -> None:
    context.target_max_block_size = 1 if care is Care.ALONE else plan.block_bytes
    context.max_errored_blocks = -1  # blocks whose process died are missed, and passed over again
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    context.memory_usage_poll_interval_s = None  # it reads each worker's memory map every second
    context.issue_detectors_config.detectors = []
    context.custom_execution_callback_classes = [_Halting]


def is_death(error: BaseException) -> bool:
    """Whether a pass ended because a process or a node died, and not by an error that its work raised."""
    return any(
        isinstance(part, ray.exceptions.RayError) and not isinstance(part, ray.exceptions.RayTaskError)
        for part in _chain(error)
    )


def explain(error: BaseException) -> str:
    """What went wrong, in one sentence."""
    return str(error) if isinstance(error, CraftRayError) else cause(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, as Python and as Ray keep it."""
    while error is not None:
        yield error
        error = getattr(error, "cause", None) or error.__cause__
