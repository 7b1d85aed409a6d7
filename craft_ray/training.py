"""Fine-tuning an encoder on CRAFT, with the published card's recipe as default: corpora in, a checkpoint out.

Runs on Ray Train: one worker on a laptop, or data-parallel over a cluster. The driver reads corpora and base model and
shares them through the object store, so workers need no file of the driver's. Each epoch leaves a checkpoint beside
the output, from which the same command goes on after any worker or the driver itself was killed.
"""

import hashlib
import json
import math
import os
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import torch
import transformers
from numpy.typing import NDArray
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue
from tokenizers import Tokenizer

from craft_ray.augmentation import names_of, swap_names
from craft_ray.casing import CasedEmbedding, cased_tokenizer, cased_vocabulary
from craft_ray.checkpoint import SEEN_FILE, load_checkpoint, max_positions, one_line, special_tokens, to_numpy
from craft_ray.connection import connected
from craft_ray.corpora import TaggedSentence, keys_shown
from craft_ray.errors import RunError, SettingsError
from craft_ray.evaluation import calibrate
from craft_ray.labels import TAGS
from craft_ray.learning import (
    Examples,
    Recipe,
    Stage,
    Watcher,
    Weights,
    build_model,
    fit,
    join_examples,
    make_examples,
    word_labels,
)
from craft_ray.model_card import Trained, model_card
from craft_ray.quantization import quantized
from craft_ray.settings import Settings, load_settings
from craft_ray.storage import Storage, absolute, join
from craft_ray.windows import Pieces, cut_pieces, lay_windows

TRIES = 3
"""Times that training goes on from its last checkpoint after workers were killed."""

STATE = ".training"
"""Folder of the output that holds checkpoints while training lasts."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tagged sentences in document order, and where they are from."""

    name: str
    sentences: list[TaggedSentence]


def train(
    train: Corpus,
    dev: Corpus,
    base: str,
    output: str,
    recipe: Recipe | None = None,
    *,
    auxiliary: Sequence[Corpus] = (),
    workers: int = 1,
    accumulate: int = 1,
    settings: Settings | None = None,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
) -> Trained:
    """Fine-tune `base` on a corpus, measure on another after each epoch, and write a Hugging Face folder.

    output:    receives fp16 safetensors, tokenizer, configuration with the six names and a model card (README.md); a
               local folder or an s3:// address
    auxiliary: corpora with labels of their own, learnt together with `train` before it is learnt alone
    workers:   processes that train together, one a GPU where the cluster has any, else one a CPU core or more
    accumulate: parts in which a worker computes its share of a step, for devices that are short of memory
    on_step:   called with the step and the number of steps

    Raises SettingsError if the base cannot be read, a corpus has labels outside the six, or the batch cannot be divided
    among workers; RunError if training fails.
    """
    recipe, settings = recipe or Recipe(), settings or load_settings()
    if recipe.batch_size % (workers * accumulate):
        raise SettingsError(
            f"a batch of {recipe.batch_size} cannot be divided into {workers * accumulate} equal parts: "
            "choose workers and accumulate so that it can"
        )
    storage, output = Storage(settings.s3), absolute(output)
    storage.check_writable(output)
    material = _Material.load(base, train, dev, auxiliary, recipe)
    with connected(settings):
        run = _Run(storage, output, workers, accumulate, on_step, _fingerprint(train, dev, auxiliary, base, recipe))
        weights = material.weights
        if auxiliary:
            weights, _ = run.fit(material.joint_stage(weights), "joint")
            weights = _with_first_labels(weights)
        trained = [run.fit(material.last_stage(weights, number), f"last-{number}") for number in range(recipe.averaged)]
        weights, rows = _average([weights for weights, _ in trained]), trained[0][1]
    with tempfile.TemporaryDirectory() as folder:
        result = _export(Path(folder), material, weights, rows, train, dev)
        storage.publish(Path(folder), output)
    storage.remove(join(output, STATE))
    return result


@dataclass(frozen=True, slots=True)
class _Material:
    """What the stages are made of.

    config, weights: the base model with a fresh head for all labels
    tags, examples: one for each corpus: the one of the six labels, then the auxiliary ones
    rounds: variants of the first corpus's examples, one an epoch
    """

    base: str
    recipe: Recipe
    config: dict[str, Any]
    weights: Weights
    manner: NDArray[np.int64] | None
    tokenizer: Any
    tags: tuple[tuple[str, ...], ...]
    examples: tuple[Examples, ...]
    rounds: tuple[Examples, ...]
    dev: Examples
    dev_sentence: NDArray[np.int32]
    auxiliary: tuple[str, ...]

    @classmethod
    def load(cls, base: str, train: Corpus, dev: Corpus, auxiliary: Sequence[Corpus], recipe: Recipe) -> "_Material":
        for corpus in (train, dev):
            if unknown := {tag for s in corpus.sentences for tag in s.tags} - set(TAGS):
                raise SettingsError(f"{corpus.name} has tags outside the six labels: {', '.join(sorted(unknown))}")
        tags = (TAGS, *(_tags_of(corpus) for corpus in auxiliary))
        transformers.set_seed(recipe.seed)
        model, tokenizer = _load_base(base, sum(map(len, tags)))
        manner = None
        if recipe.cased:
            corpora = (train, *auxiliary)
            vocabulary = cased_vocabulary(tokenizer, (word for c in corpora for s in c.sentences for word in s.words))
            embeddings = model.get_input_embeddings().weight.detach()[torch.from_numpy(vocabulary.origin)]
            model.set_input_embeddings(CasedEmbedding(embeddings.clone(), vocabulary.manner))
            model.config.vocab_size = len(vocabulary.pieces)
            tokenizer, manner = cased_tokenizer(vocabulary, tokenizer), vocabulary.manner
        if recipe.dropout is not None:
            model.config.hidden_dropout_prob = recipe.dropout
        if recipe.attention_dropout is not None:
            model.config.attention_probs_dropout_prob = recipe.attention_dropout
        cutter = _Cutter.of(tokenizer, model.config, recipe.window_pieces)
        first = np.cumsum([0, *(len(names) for names in tags)])
        examples = tuple(
            cutter.cut(corpus.sentences, {tag: i + int(at) for i, tag in enumerate(names)})[0]
            for corpus, names, at in zip((train, *auxiliary), tags, first[:-1], strict=True)
        )
        number = {tag: i for i, tag in enumerate(TAGS)}
        names = names_of((s for c in (train, *auxiliary) for s in c.sentences), recipe.swap)
        rounds = [
            cutter.cut(swap_names(train.sentences, names, recipe.swap, recipe.seed + epoch), number)[0]
            for epoch in range(math.ceil(recipe.epochs) if recipe.swap else 0)
        ]
        dev_examples, pieces = cutter.cut(dev.sentences, number)
        return cls(
            base=base,
            recipe=recipe,
            config=model.config.to_diff_dict(),
            weights={name: to_numpy(tensor) for name, tensor in model.state_dict().items()},
            manner=manner,
            tokenizer=tokenizer,
            tags=tags,
            examples=examples,
            rounds=tuple(rounds) or examples[:1],
            dev=dev_examples,
            dev_sentence=pieces.word_sentence,
            auxiliary=tuple(corpus.name for corpus in auxiliary),
        )

    def joint_stage(self, weights: Weights) -> Stage:
        """All corpora together."""
        stage = self._stage(weights, self.tags)
        rate = self.recipe.auxiliary_learning_rate or self.recipe.learning_rate
        repeated = [self.examples[0]] * self.recipe.auxiliary_repeats
        examples = join_examples([*repeated, *self.examples[1:]])
        return replace(stage, examples=(examples,), learning_rate=rate, epochs=self.recipe.auxiliary_epochs)

    def last_stage(self, weights: Weights, number: int = 0) -> Stage:
        """The corpus itself; `number` tells trainings that are averaged apart by their seed."""
        stage = self._stage(weights, self.tags[:1])
        return replace(stage, recipe=replace(self.recipe, seed=self.recipe.seed + number))

    def _stage(self, weights: Weights, tags: tuple[tuple[str, ...], ...]) -> Stage:
        names = [tag if number == 0 else f"{number}:{tag}" for number, own in enumerate(tags) for tag in own]
        return Stage(
            config=self.config | {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}},
            weights=weights,
            manner=self.manner,
            tokenizer=self.tokenizer,
            corpus=np.repeat(np.arange(len(tags)), [len(own) for own in tags]),
            examples=self.rounds,
            dev=self.dev,
            dev_sentence=self.dev_sentence,
            recipe=self.recipe,
            learning_rate=self.recipe.learning_rate,
            epochs=self.recipe.epochs,
        )


@dataclass(frozen=True, slots=True)
class _Cutter:
    """Sentences to examples, as a checkpoint will read them."""

    tokenizer: Tokenizer
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    max_pieces: int
    window_pieces: int

    @classmethod
    def of(cls, tokenizer: Any, config: Any, window_pieces: int) -> "_Cutter":
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        backend.no_truncation()
        backend.no_padding()
        prefix, suffix = special_tokens(backend)
        limit = max_positions(config, tokenizer) - len(prefix) - len(suffix)
        return cls(backend, prefix, suffix, limit, window_pieces)

    def cut(self, sentences: Sequence[TaggedSentence], number: dict[str, int]) -> tuple[Examples, Pieces]:
        pieces = cut_pieces(self.tokenizer, [s.words for s in sentences])
        windows = lay_windows(pieces, self.max_pieces, self.window_pieces)
        labels = word_labels([s.tags for s in sentences], pieces, number)
        return make_examples(windows, labels, self.prefix, self.suffix), pieces


def _tags_of(corpus: Corpus) -> tuple[str, ...]:
    """The tags that occur, `O` first."""
    return tuple(sorted({"O"} | {tag for s in corpus.sentences for tag in s.tags}, key=lambda tag: (tag != "O", tag)))


def _load_base(base: str, labels: int) -> tuple[Any, Any]:
    """The encoder with a new head of so many labels, and its tokenizer."""
    try:
        config = transformers.AutoConfig.from_pretrained(base, num_labels=labels, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, trust_remote_code=False, add_prefix_space=True)
        model = transformers.AutoModelForTokenClassification.from_pretrained(
            base, config=config, trust_remote_code=False, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot load the base model {base}: {one_line(error)}") from error
    if not tokenizer.is_fast:
        raise SettingsError(f"the base model {base} has no fast tokenizer")
    return model.float(), tokenizer


def _average(weights: Sequence[Weights]) -> Weights:
    """The mean of each parameter."""
    return {name: np.mean(np.stack([w[name].astype(np.float32) for w in weights]), axis=0) for name in weights[0]}


def _with_first_labels(weights: Weights) -> Weights:
    """The weights with a head of the six labels' rows alone."""
    return {name: array[: len(TAGS)] if name.startswith("classifier.") else array for name, array in weights.items()}


def _fingerprint(train: Corpus, dev: Corpus, auxiliary: Sequence[Corpus], base: str, recipe: Recipe) -> str:
    """What tells a training from another, so that no run goes on from a checkpoint of other settings or data."""
    digest = hashlib.sha256(json.dumps([base, asdict(recipe)]).encode())
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
    on_step: Callable[[int, int], None]
    fingerprint: str

    def fit(self, stage: Stage, name: str) -> tuple[Weights, list[dict[str, float]]]:
        """The weights after a stage, and its rows; goes on from the last checkpoint of an earlier try."""
        filesystem, path = self.storage.arrow_filesystem(join(self.output, STATE))
        gpu = ray.cluster_resources().get("GPU", 0) > 0
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)) // self.workers)
        with _steps(self.on_step) as steps:
            trainer = TorchTrainer(
                _work,
                train_loop_config={"stage": ray.put(stage), "steps": steps, "accumulate": self.accumulate},
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
    """What the first worker that failed raised."""
    failures = getattr(error, "worker_failures", None) or {}
    first = next(iter(failures.values()), error)
    last = [line for line in str(first).splitlines() if line.strip()]
    return last[-1].strip() if last else type(first).__name__


def _work(config: dict[str, Any]) -> None:
    """What each worker does."""
    context = ray.train.get_context()
    stage: Stage = ray.get(config["stage"])
    checkpoint = ray.train.get_checkpoint()
    with tempfile.TemporaryDirectory() as folder:
        resume = None
        if checkpoint is not None:
            resume = join(folder, "resumed")
            checkpoint.to_directory(resume)
        fit(
            stage,
            join(folder, "checkpoints"),
            _Reporter(config["steps"]),
            workers=context.get_world_size(),
            accumulate=config["accumulate"],
            resume=resume,
        )


class _Reporter(Watcher):
    """Tells Ray Train of epochs and the driver of steps."""

    def __init__(self, steps: Queue) -> None:
        self.steps = steps

    def on_step(self, step: int, steps: int) -> None:
        """Every step is told, for a queue takes thousands a second."""
        self.steps.put_nowait((step, steps))

    def on_epoch(self, rows: list[dict[str, float]], checkpoint: Path | None) -> None:
        """All workers report, as Ray Train wants; the first brings the checkpoint."""
        kept = ray.train.Checkpoint.from_directory(checkpoint) if checkpoint else None
        ray.train.report({"rows": rows}, checkpoint=kept)


@contextmanager
def _steps(on_step: Callable[[int, int], None]) -> Iterator[Queue]:
    """A queue whose steps are passed on by a thread of the driver."""
    steps = Queue()
    ended = threading.Event()

    def pass_on() -> None:
        while not ended.is_set():
            try:
                on_step(*steps.get(timeout=0.5))
            except Empty:
                continue

    thread = threading.Thread(target=pass_on, name="craft-ray-steps", daemon=True)
    thread.start()
    try:
        yield steps
    finally:
        ended.set()
        thread.join()
        steps.shutdown()


def _read_weights(folder: Path) -> Weights:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def _export(
    folder: Path, material: _Material, weights: Weights, rows: list[dict[str, float]], train: Corpus, dev: Corpus
) -> Trained:
    """Write the checkpoint, calibrate its scores, measure it as it will be used, and write its card."""
    config = material.last_stage(weights).config | {"window_pieces": material.recipe.window_pieces}
    model = build_model(config, weights, material.manner, attention="eager")
    if isinstance(cased := model.get_input_embeddings(), CasedEmbedding):
        plain = torch.nn.Embedding(*cased.weight.shape)
        plain.weight = torch.nn.Parameter(cased.folded())
        model.set_input_embeddings(plain)
    model.half().save_pretrained(folder)
    material.tokenizer.save_pretrained(folder)
    np.save(folder / SEEN_FILE, keys_shown(train.sentences))
    checkpoint = load_checkpoint(str(folder))
    file = folder / "config.json"
    calibration = calibrate(checkpoint, dev.sentences)
    settings = json.loads(file.read_text(encoding="utf-8")) | {"score_calibration": calibration}
    file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if (int8 := quantized(load_checkpoint(str(folder)), train.sentences, dev.sentences)).harmless:
        int8.write(folder)
    trained = Trained(
        data={
            "base": Path(material.base).name,
            "train": f"{train.name} ({len(train.sentences)} sentences)",
            "dev": f"{dev.name} ({len(dev.sentences)} sentences)",
        }
        | ({"auxiliary": ", ".join(material.auxiliary)} if material.auxiliary else {}),
        settings=asdict(material.recipe),
        versions={
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "ray": ray.__version__,
            "python": platform.python_version(),
        },
        rows=rows,
        scores=int8.exact,
        int8=int8.int8,
    )
    (folder / "README.md").write_text(model_card(trained), encoding="utf-8")
    return trained
