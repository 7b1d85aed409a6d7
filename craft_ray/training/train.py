"""Fine-tune an encoder for token classification: corpora in, a checkpoint out.

Runs on Ray Train, with one worker on a laptop or data-parallel on a cluster. The driver reads the corpora and the base
model and shares them through the object store, so workers need none of its files. Each epoch leaves a checkpoint in the
output, from which the same command resumes after a worker or the driver was killed.
"""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import ray.train
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue
from safetensors.numpy import load_file

from craft_ray.core.connection import nodes, ray_session
from craft_ray.core.descriptions import LabelDescription, check_labels
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.logs import log
from craft_ray.core.settings import Settings, load_settings
from craft_ray.model.checkpoint import CONFIG_FILE
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.addresses import absolute_output, join
from craft_ray.storage.storage import Storage
from craft_ray.training.corpora import Corpus, without_overlap
from craft_ray.training.examples import Head
from craft_ray.training.publish import TrainingResult, export_checkpoint
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import AVERAGED_FILE, OnStep, Row, TrainingData, Weights, fit
from craft_ray.training.training_data import load_training_data

MAX_FAILURES = 3
"""Times that a training resumes from its last checkpoint after workers were killed."""

OnEpoch = Callable[[Row], None]
"""Called after each epoch with its figures."""

STATE = ".training"
"""Folder in the output for checkpoints during training."""


def train(
    train: Corpus,
    dev: Corpus,
    base: str,
    output: str,
    recipe: Recipe | None = None,
    *,
    auxiliary: Sequence[Corpus] = (),
    labels: Mapping[str, LabelDescription] = MappingProxyType({}),
    workers: int = 1,
    accumulate: int = 1,
    settings: Settings | None = None,
    on_step: OnStep = lambda step, steps: None,
    on_epoch: OnEpoch = lambda row: None,
) -> TrainingResult:
    """Fine-tune `base` on a corpus, evaluate on `dev` after each epoch, and write a Hugging Face folder.

    output:     a local folder or an s3:// address; receives fp16 safetensors, tokenizer, config.json and a model card
    auxiliary:  corpora that teach labels of `train`, or labels of their own, which the result does not have
    labels:     descriptions of labels for the checkpoint's config.json
    workers:    processes that train together, each with a GPU if the cluster has any, else with its share of the CPUs
    accumulate: parts in which a worker computes its share of a step, to save memory
    on_step, on_epoch: called in a thread of their own

    Raises SettingsError if `output` has a finished model, the base cannot be loaded, `dev` or `labels` have labels that
    `train` does not have, or the batch cannot be divided among workers; RunError if training fails.
    """
    recipe, settings = recipe or Recipe(), settings or load_settings()
    if not recipe.batch_tokens and recipe.batch_size % (workers * accumulate):
        raise SettingsError(
            f"a batch of {recipe.batch_size} cannot be divided into {workers * accumulate} equal parts: "
            "choose workers and accumulate so that it can"
        )
    check_labels(labels, set(train.labels))
    storage, output = Storage.of(settings), absolute_output(output)
    storage.check_writable(output)
    if storage.size(join(output, CONFIG_FILE)) is not None and not storage.names(join(output, STATE)):
        raise SettingsError(f"there is a finished model in {output}: choose another folder")
    if recipe.disjoint:
        train, auxiliary = without_overlap(train, dev), [without_overlap(corpus, dev) for corpus in auxiliary]
    data = load_training_data(base, train, dev, auxiliary, recipe)
    old = weights_of_base(base, data.main_head) if recipe.base_share else {}
    fingerprint = _fingerprint(train, dev, auxiliary, base, recipe)
    with ray_session(settings), _event_queue({"step": on_step, "epoch": on_epoch}) as events:
        loop = {"data": ray.put(data), "events": events, "accumulate": accumulate}
        weights, rows = _fit_on_ray(loop, fingerprint, storage, join(output, STATE), workers)
    weights = finished(weights, data.main_head, recipe, old)
    with tempfile.TemporaryDirectory() as folder:
        result = export_checkpoint(Path(folder), data, weights, rows, train, dev, labels)
        storage.publish(Path(folder), output)
    storage.remove(join(output, STATE))
    if result.scores["f1"] == 0:
        log.warning("F1 is 0: the model finds no mention of the development corpus")
    return result


def weights_of_base(base: str, head: Head) -> Weights:
    """The weights of a base that has the labels of `head`. Raises SettingsError for any other base."""
    checkpoint = load_checkpoint(base)
    if tuple(label for _, label in sorted(checkpoint.id2label.items())) != head.tags:
        raise SettingsError(f"base_share: the base {base} has other labels than the corpus")
    return dict(checkpoint.weights)


def finished(weights: Weights, head: Head, recipe: Recipe, base: Weights) -> Weights:
    """Keep the first rows of the head, those of `head`, average with the base, and add to the biases of `O`."""
    tags, share = head.tags, recipe.base_share
    result = {name: array[: len(tags)] if name.startswith("classifier.") else array for name, array in weights.items()}
    if share:
        result = {
            name: (1 - share) * array.astype(np.float32) + share * base[name].astype(np.float32)
            for name, array in result.items()
        }
    outside = np.array([tag == "O" for tag in tags])
    return result | {"classifier.bias": result["classifier.bias"].astype(np.float32) + recipe.outside_bias * outside}


def _fingerprint(train: Corpus, dev: Corpus, auxiliary: Sequence[Corpus], base: str, recipe: Recipe) -> str:
    """Names the training's checkpoints, so that it never resumes from those of other settings or data."""
    digest = hashlib.sha256(json.dumps([base, recipe.model_dump()]).encode())
    for corpus in (train, dev, *auxiliary):
        digest.update(json.dumps([asdict(sentence) for sentence in corpus.sentences]).encode())
    return digest.hexdigest()[:12]


def cores_per_worker(cpus_of_nodes: Sequence[float], workers: int) -> int:
    """The most CPUs that each of some workers can have, given the CPUs of each node; at least one.

    A worker is on one node: with more than any node has, Ray would wait for ever for one that has them.
    """
    for cores in range(int(max(cpus_of_nodes, default=1)), 1, -1):
        if sum(int(cpus // cores) for cpus in cpus_of_nodes) >= workers:
            return cores
    return 1


def _fit_on_ray(
    loop: dict[str, Any], name: str, storage: Storage, folder: str, workers: int
) -> tuple[Weights, list[Row]]:
    """Train, or resume a training. Returns the weights and a row per epoch.

    loop:   arguments of `_train_worker`
    name:   names the checkpoints in `folder`
    """
    filesystem, path = storage.arrow_filesystem(folder)
    resources = ray.cluster_resources()
    gpu = resources.get("GPU", 0) > 0
    cores = cores_per_worker([node.get("CPU", 0) for node in nodes()], workers)
    # A worker's report waits until the controller polls it, which it does every two seconds by default.
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config=loop,
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=gpu, resources_per_worker={"GPU": 1} if gpu else {"CPU": cores}
        ),
        run_config=RunConfig(
            name=name,
            storage_path=path,
            storage_filesystem=filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise RunError(f"training failed: {_cause(error)}") from error
    if result.checkpoint is None or result.metrics is None:
        raise RunError("training ended without a checkpoint")
    with result.checkpoint.as_directory() as checkpoint:
        averaged = Path(checkpoint) / AVERAGED_FILE
        weights = load_file(averaged if averaged.is_file() else Path(checkpoint) / "model.safetensors")
    return weights, result.metrics["rows"]


def _cause(error: ray.train.TrainingFailedError) -> str:
    """The last line of the first failed worker's error."""
    failures = getattr(error, "worker_failures", None) or {}
    first = next(iter(failures.values()), error)
    lines = [line.strip() for line in str(first).splitlines() if line.strip()]
    return lines[-1] if lines else type(first).__name__


def _train_worker(config: dict[str, Any]) -> None:
    """Runs in each training process."""
    data: TrainingData = ray.get(config["data"])
    events: Queue = config["events"]
    checkpoint = ray.train.get_checkpoint()

    def report(rows: list[Row], checkpoint: Path | None) -> None:
        saved = ray.train.Checkpoint.from_directory(checkpoint) if checkpoint else None
        if saved:
            events.put_nowait(("epoch", rows[-1]))
        ray.train.report({"rows": rows}, checkpoint=saved)  # Ray Train waits for a report from each worker

    with tempfile.TemporaryDirectory() as folder:
        resume = None
        if checkpoint is not None:
            resume = join(folder, "resumed")
            checkpoint.to_directory(resume)
        fit(
            data,
            join(folder, "checkpoints"),
            lambda step, steps: events.put_nowait(("step", step, steps)),
            report,
            workers=ray.train.get_context().get_world_size(),
            accumulate=config["accumulate"],
            resume=resume,
        )


@contextmanager
def _event_queue(handlers: Mapping[str, Callable[..., None]]) -> Iterator[Queue]:
    """A queue of events from workers. A thread calls their handlers, for all events before the block ends."""
    events = Queue()

    def handle() -> None:
        for name, *arguments in iter(events.get, None):
            handlers[name](*arguments)

    thread = threading.Thread(target=handle, name="craft-ray-training", daemon=True)
    thread.start()
    try:
        yield events
    finally:
        events.put(None)
        thread.join()
        events.shutdown()
