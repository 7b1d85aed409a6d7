"""Fine-tuning an encoder on CRAFT, with the published card's recipe as default: corpora in, a checkpoint out.

Runs on Ray Train: one worker on a laptop, or data-parallel over a cluster. The driver reads corpora and base model and
shares them through the object store, so workers need no file of the driver's. Each epoch leaves a checkpoint beside
the output, from which the same command goes on after any worker or the driver itself was killed.
"""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import ray.train
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue

from craft_ray.core.connection import ray_session
from craft_ray.core.descriptions import LabelDescription, check_labels
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.labels import label_of
from craft_ray.core.logs import log
from craft_ray.core.settings import Settings, load_settings
from craft_ray.model.checkpoint import CONFIG_FILE
from craft_ray.storage.addresses import absolute, join
from craft_ray.storage.storage import Storage
from craft_ray.training.averaging import AVERAGED_FILE
from craft_ray.training.corpora import Corpus, without_overlap
from craft_ray.training.material import TrainingData
from craft_ray.training.publish import Trained, export_checkpoint
from craft_ray.training.recipe import Recipe
from craft_ray.training.trainer import Phase, TrainingListener, Weights, fit

TRIES = 3
"""Times that training goes on from its last checkpoint after workers were killed."""

NOBODY = TrainingListener()
"""The listener of a training that nobody watches."""

STATE = ".training"
"""Folder of the output that holds checkpoints while training lasts."""


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
    listener: TrainingListener = NOBODY,
) -> Trained:
    """Fine-tune `base` on a corpus, measure on another after each epoch, and write a Hugging Face folder.

    output:    receives fp16 safetensors, tokenizer, configuration with the six names and a model card (README.md); a
               local folder or an s3:// address
    auxiliary: corpora with labels of their own, learnt together with `train` before it is learnt alone
    labels:    what labels mean and how they are shown, for the checkpoint's config.json
    workers:   processes that train together: one per GPU where the cluster has any, else one per CPU core or more
    accumulate: parts in which a worker computes its share of a step, for devices that are short of memory
    listener:  called after steps and epochs, in a thread of its own

    Raises SettingsError if `output` holds a finished model, the base cannot be read, `dev` or `labels` has labels that
    `train` has not, or the batch cannot be divided among workers; RunError if training fails.
    """
    recipe, settings = recipe or Recipe(), settings or load_settings()
    if not recipe.batch_tokens and recipe.batch_size % (workers * accumulate):
        raise SettingsError(
            f"a batch of {recipe.batch_size} cannot be divided into {workers * accumulate} equal parts: "
            "choose workers and accumulate so that it can"
        )
    check_labels(labels, {label_of(tag) for sentence in train.sentences for tag in sentence.tags} - {"O"})
    storage, output = Storage(settings.s3), absolute(output)
    storage.check_writable(output)
    if storage.size(join(output, CONFIG_FILE)) is not None and not storage.names(join(output, STATE)):
        raise SettingsError(f"there is a finished model in {output}: choose another folder")
    if recipe.disjoint:
        train, auxiliary = without_overlap(train, dev), [without_overlap(corpus, dev) for corpus in auxiliary]
    material = TrainingData.load(base, train, dev, auxiliary, recipe)
    with ray_session(settings):
        run = _Run(storage, output, workers, accumulate, listener, _fingerprint(train, dev, auxiliary, base, recipe))
        weights = material.weights
        if auxiliary:
            weights, _ = run.fit(material.joint_stage(weights), "joint")
            weights = _with_first_labels(weights, len(material.tags[0]))
        trained = [run.fit(material.last_stage(weights, number), f"last-{number}") for number in range(recipe.averaged)]
        weights = with_outside_bias(_average([weights for weights, _ in trained]), recipe.outside_bias)
    with tempfile.TemporaryDirectory() as folder:
        result = export_checkpoint(Path(folder), material, weights, trained[0][1], train, dev, labels)
        storage.publish(Path(folder), output)
    storage.remove(join(output, STATE))
    if result.scores["f1"] == 0:
        log.warning("F1 is 0: the model finds no mention of the development corpus as gold has it")
    return result


def _average(weights: Sequence[Weights]) -> Weights:
    """The mean of each parameter."""
    return {name: np.mean(np.stack([w[name].astype(np.float32) for w in weights]), axis=0) for name in weights[0]}


def with_outside_bias(weights: Weights, bias: float) -> Weights:
    """The weights with a higher bias of `O`, which is the first tag."""
    shifted = weights["classifier.bias"].copy()
    shifted[0] += bias
    return weights | {"classifier.bias": shifted}


def _with_first_labels(weights: Weights, count: int) -> Weights:
    """The weights with a head of the first rows alone, those of the corpus to train on."""
    return {name: array[:count] if name.startswith("classifier.") else array for name, array in weights.items()}


def _fingerprint(train: Corpus, dev: Corpus, auxiliary: Sequence[Corpus], base: str, recipe: Recipe) -> str:
    """Fingerprint of a training, so that no run goes on from a checkpoint of other settings or data."""
    digest = hashlib.sha256(json.dumps([base, recipe.model_dump()]).encode())
    for corpus in (train, dev, *auxiliary):
        digest.update(json.dumps([asdict(sentence) for sentence in corpus.sentences]).encode())
    return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Run:
    """The stages of one training as Ray Train runs them."""

    storage: Storage
    output: str
    workers: int
    accumulate: int
    listener: TrainingListener
    fingerprint: str

    def fit(self, phase: Phase, name: str) -> tuple[Weights, list[dict[str, float]]]:
        """The weights after a stage, and its rows; goes on from the last checkpoint of an earlier try."""
        filesystem, path = self.storage.arrow_filesystem(join(self.output, STATE))
        gpu = ray.cluster_resources().get("GPU", 0) > 0
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.workers)
        with _told(self.listener) as news:
            trainer = TorchTrainer(
                _work,
                train_loop_config={"stage": ray.put(phase), "news": news, "accumulate": self.accumulate},
                scaling_config=ScalingConfig(
                    num_workers=self.workers,
                    use_gpu=gpu,
                    resources_per_worker={"GPU": 1} if gpu else {"CPU": cores},
                ),
                run_config=RunConfig(
                    name=f"{name}-{self.fingerprint}",
                    storage_path=path,
                    storage_filesystem=filesystem,
                    checkpoint_config=CheckpointConfig(num_to_keep=1),
                    failure_config=FailureConfig(max_failures=TRIES),
                ),
            )
            # A worker's report waits for the controller to look, which it does every two seconds otherwise.
            os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
            try:
                result = trainer.fit()
            except ray.train.TrainingFailedError as error:
                raise RunError(f"training failed: {_cause(error)}") from error
        if result.checkpoint is None or result.metrics is None:
            raise RunError("training ended without a checkpoint")
        with result.checkpoint.as_directory() as folder:
            return _read_weights(Path(folder)), result.metrics["rows"]


def _cause(error: ray.train.TrainingFailedError) -> str:
    """The error that the first failed worker raised."""
    failures = getattr(error, "worker_failures", None) or {}
    first = next(iter(failures.values()), error)
    last = [line for line in str(first).splitlines() if line.strip()]
    return last[-1].strip() if last else type(first).__name__


def _work(config: dict[str, Any]) -> None:
    """The work of each training process."""
    context = ray.train.get_context()
    phase: Phase = ray.get(config["stage"])
    checkpoint = ray.train.get_checkpoint()
    with tempfile.TemporaryDirectory() as folder:
        resume = None
        if checkpoint is not None:
            resume = join(folder, "resumed")
            checkpoint.to_directory(resume)
        fit(
            phase,
            join(folder, "checkpoints"),
            _Reporter(config["news"]),
            workers=context.get_world_size(),
            accumulate=config["accumulate"],
            resume=resume,
        )


class _Reporter(TrainingListener):
    """Tells Ray Train of epochs, and the driver of both."""

    def __init__(self, news: Queue) -> None:
        self.news = news

    def on_step(self, step: int, steps: int) -> None:
        """Every step is told, for a queue takes thousands a second."""
        self.news.put_nowait((TrainingListener.on_step.__name__, (step, steps)))

    def on_epoch(self, rows: list[dict[str, float]], checkpoint: Path | None) -> None:
        """All workers report, as Ray Train wants; the first brings the checkpoint, and tells the driver."""
        kept = None
        if checkpoint:
            kept = ray.train.Checkpoint.from_directory(checkpoint)
            self.news.put_nowait((TrainingListener.on_epoch.__name__, (rows, None)))
        ray.train.report({"rows": rows}, checkpoint=kept)


@contextmanager
def _told(listener: TrainingListener) -> Iterator[Queue]:
    """A queue of calls, which a thread of the driver makes; all are made before the end."""
    news = Queue()
    ended = threading.Event()

    def pass_on() -> None:
        while True:
            try:
                name, arguments = news.get(timeout=0.5)
            except Empty:
                if ended.is_set():
                    return
                continue
            getattr(listener, name)(*arguments)

    thread = threading.Thread(target=pass_on, name="craft-ray-training", daemon=True)
    thread.start()
    try:
        yield news
    finally:
        ended.set()
        thread.join()
        news.shutdown()


def _read_weights(folder: Path) -> Weights:
    """Those of a stage's checkpoint; their moving average, where there is one."""
    from safetensors.numpy import load_file

    averaged = folder / AVERAGED_FILE
    return load_file(averaged if averaged.is_file() else folder / "model.safetensors")
