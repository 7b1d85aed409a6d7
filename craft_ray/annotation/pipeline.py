"""The Ray Data pipeline of a pass.

groups of shards -> prepare_shards (tasks) -> Replica (actor pool) -> write_blocks (tasks) -> WrittenBlock

A document that crashes its worker process takes the other documents of its block with it. They are missing then, and
the next pass reads their shards again, more carefully (`plan.Attempt`).
"""

import logging
import pickle
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback  # private: see test_private_parts.py
from ray.util.annotations import RayDeprecationWarning

from craft_ray.annotation.cluster_plan import Plan
from craft_ray.annotation.plan import Attempt
from craft_ray.annotation.prepare import SharedReadTask, prepare_shards
from craft_ray.annotation.replica import Replica
from craft_ray.annotation.write import WriteTask, write_blocks
from craft_ray.core.errors import RunError
from craft_ray.model.engines.engine import DeployedModel
from craft_ray.storage.shards import Shard, pack_shards
from craft_ray.tables.blocks import WrittenBlock

REPLICA_RETRIES, TASK_RETRIES = 1, 2
"""How often Ray repeats a call of a replica, and a read or write task, whose process died."""


def run_pipeline(
    groups: Iterable[Sequence[Shard]],
    attempt: Attempt,
    plan: Plan,
    model: "ray.ObjectRef[DeployedModel]",
    read: "ray.ObjectRef[SharedReadTask]",
    write: WriteTask,
    halt: threading.Event,
) -> Iterator[WrittenBlock]:
    """Run shards through the stages, and yield each block when its files are written.

    groups: the shards of each read task (`plan.group_shards`)
    halt:   stops the pipeline within a second when set, which raises Halted

    Raises RunError if another pass would not help.
    """
    _running.halt = halt
    # Its warnings are about settings that are made here on purpose, and its errors are raised as well.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    tasks = [{"shards": pack_shards(group)} for group in groups]
    # The only way to bound retries is deprecated in Ray 2.60, and has no successor yet.
    warnings.filterwarnings("ignore", category=RayDeprecationWarning, module=__name__)
    # Every small run has fewer blocks than replicas.
    warnings.filterwarnings("ignore", module="ray.data._internal.execution.operators.actor_pool_map_operator")
    dataset = ray.data.from_items(tasks, override_num_blocks=len(tasks))
    _configure(dataset.context, plan, attempt)
    written = (
        dataset.map_batches(
            prepare_shards,
            fn_kwargs={"storage": write.storage, "task": read, "attempt": attempt},
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=plan.read_cpus,
            max_retries=TASK_RETRIES,
        )
        .map_batches_internal(  # `map_batches` refuses whole blocks (batch_size=None) on a GPU
            Replica,
            fn_constructor_kwargs={"form": model, "token_budget": plan.token_budget, "threads": plan.threads},
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=replica_pool(plan.replicas, plan.max_replicas, attempt, on_gpus=plan.replica_gpus > 0),
            num_cpus=plan.replica_cpus,
            num_gpus=plan.replica_gpus or None,
            max_task_retries=REPLICA_RETRIES,
            scheduling_strategy="SPREAD",  # one replica per node, if there are enough nodes
        )
        .map_batches(
            write_blocks,
            fn_kwargs={"task": write},
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            num_cpus=plan.write_cpus,
            max_retries=TASK_RETRIES,
        )
    )
    # `iter_batches` hands each block from thread to thread, which takes a tenth of the driver's time.
    for bundle in written.iter_internal_ref_bundles():
        for content in chain.from_iterable(table["written"] for table in ray.get(list(bundle.block_refs))):
            block = pickle.loads(content.as_py())  # from `write_blocks` of this run
            failure = block if isinstance(block, str) else block.failure
            if failure is not None:
                raise RunError(failure)
            yield block


def replica_pool(fewest: int, most: int, attempt: Attempt, *, on_gpus: bool) -> ray.data.ActorPoolStrategy:
    """The pool of replicas. With `most` above `fewest`, Ray adds replicas while all are busy and removes idle ones.

    Replicas on GPUs work on two blocks in two threads, so that the GPU does not wait between blocks.
    """
    # When a replica dies it loses every block in flight, so isolation mode sends one at a time.
    # On a CPU no device waits. And a Ray 2.60 actor that had two threads may exit with a segmentation fault, which is
    # harmless but prints an alarming message.
    calls = 2 if on_gpus and attempt is not Attempt.ISOLATE else 1
    return ray.data.ActorPoolStrategy(
        min_size=fewest,
        max_size=most,
        max_tasks_in_flight_per_actor=1 if attempt is Attempt.ISOLATE else None,
        max_concurrent_calls_per_actor=calls,
        # Without it, Ray Data serializes the calls of a class.
        enable_true_multi_threading=calls > 1,
    )


class Halted(Exception):
    """The pipeline was asked to stop."""


_running = threading.local()
"""The `halt` event of the pipeline that this thread runs."""


class _Halting(ExecutionCallback):  # type: ignore[misc]
    """Stops an execution of Ray Data, which has no public way to be stopped from another thread."""

    def before_execution_starts(self, executor: Any) -> None:
        """Called in the thread that runs the pipeline."""
        self._halt = _running.halt

    def on_execution_step(self, executor: Any) -> None:
        """Called in the scheduling thread, about ten times a second."""
        if self._halt.is_set():
            raise Halted


def _configure(context: Any, plan: Plan, attempt: Attempt) -> None:
    context.target_max_block_size = 1 if attempt is Attempt.ISOLATE else plan.block_bytes
    context.max_errored_blocks = -1  # the next pass reads again what a dead process has lost
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    context.memory_usage_poll_interval_s = None  # it reads each worker's memory map every second
    context.issue_detectors_config.detectors = []
    context.custom_execution_callback_classes = [_Halting]
