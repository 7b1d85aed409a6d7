"""Fine-tune with `transformers.Trainer`. Knows neither Ray nor our file formats.

Labels form groups (`examples.Head`). A token has a tag in each group that its corpus labels, and a loss in these alone,
so corpora with different labels are learned together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    EvalPrediction,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from craft_ray.model.tags import Predictions, Spans, TagSet, find_mentions
from craft_ray.model.wordpieces import Units
from craft_ray.training.casing import CasedEmbedding
from craft_ray.training.examples import IGNORED, EpochExamples, Examples, Head, TokenBatches
from craft_ray.training.metrics import score_by_label, total
from craft_ray.training.recipe import Recipe

AVERAGED_FILE = "averaged.safetensors"
"""File of the averaged weights in a checkpoint of the training."""

Weights = dict[str, NDArray[np.generic]]
"""Parameters by name."""

Row = dict[str, float]
"""An epoch's figures: training_loss, epoch, step, loss, precision, recall, f1, accuracy."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Everything that a worker needs to train.

    sources:      the base and the corpora in words, for the model card
    weights:      initial weights, including the vectors of word shapes if case is learned
    word_shape:   (vocabulary,) see `casing`; None if case is not learned
    head:         the groups of labels; those of the main corpus come first
    main_groups:  their number
    examples:     variants of the training set, one per epoch
    dev_units:    the units of the development set
    """

    sources: dict[str, str]
    config: dict[str, Any]
    weights: Weights
    word_shape: NDArray[np.int64] | None
    tokenizer: PreTrainedTokenizerFast
    head: Head
    main_groups: int
    examples: tuple[Examples, ...]
    dev: Examples
    dev_units: Units
    recipe: Recipe

    @property
    def main_head(self) -> Head:
        return Head(self.head.groups[: self.main_groups])


OnStep = Callable[[int, int], None]
"""Called after each step with its number and the number of all steps."""

OnCheckpoint = Callable[[list[Row], Path | None], None]
"""Called after each epoch with the rows so far, and in the first worker with a checkpoint to resume from."""


def fit(
    data: TrainingData,
    folder: str,
    on_step: OnStep,
    on_checkpoint: OnCheckpoint,
    *,
    workers: int = 1,
    accumulate: int = 1,
    resume: str | None = None,
) -> None:
    """Train in this process, which may be one of several that torch has joined.

    folder: receives checkpoints
    resume: checkpoint to resume from
    """
    recipe = data.recipe
    set_seed(recipe.seed)
    gpu = torch.cuda.is_available()
    model = build_model(data.config, data.weights, data.word_shape, attention="sdpa" if gpu else "eager")
    examples = EpochExamples(data.examples)
    averaging = [MovingAverage(model, recipe.moving_average, folder, resume)] if recipe.moving_average else []
    trainer = _Trainer(
        recipe.batch_tokens // (workers * accumulate),
        workers,
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            learning_rate=recipe.learning_rate,
            per_device_train_batch_size=max(1, recipe.batch_size // (workers * accumulate)),
            per_device_eval_batch_size=max(1, recipe.batch_size // workers),
            gradient_accumulation_steps=accumulate,
            num_train_epochs=recipe.epochs,
            warmup_steps=recipe.warmup,  # below 1 it is a share of all steps
            weight_decay=recipe.weight_decay,
            lr_scheduler_type="linear",
            adam_beta1=0.9,
            adam_beta2=0.999,
            adam_epsilon=1e-8,
            seed=recipe.seed,
            bf16=recipe.precision == "bf16" or (recipe.precision == "auto" and _computes_in_bf16()),
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=1,
            logging_strategy="epoch",
            report_to=[],
            disable_tqdm=True,
            use_cpu=not gpu,
            dataloader_pin_memory=gpu,
            ddp_find_unused_parameters=False,
        ),
        train_dataset=examples,
        eval_dataset=data.dev,
        data_collator=partial(_collate, data.tokenizer.pad_token_id or 0),
        compute_loss_func=partial(group_loss, data.head.sizes),
        compute_metrics=_Metrics(data),
        preprocess_logits_for_metrics=lambda logits, labels: _best(logits, data.head.sizes),
        callbacks=[*averaging, _Events(examples, folder, on_step, on_checkpoint)],
    )
    trainer.train(resume_from_checkpoint=resume)


class _Trainer(Trainer):  # type: ignore[misc]  # transformers is not checked
    """A trainer whose batches may be limited in tokens; with `max_tokens` 0 they have a number of windows."""

    def __init__(self, max_tokens: int, workers: int, **options: Any) -> None:
        super().__init__(**options)
        self.max_tokens = max_tokens
        self.workers = workers

    def get_train_dataloader(self) -> DataLoader[Any]:
        if not self.max_tokens:
            loader: DataLoader[Any] = super().get_train_dataloader()
            return loader
        rank = self.args.process_index
        batches = TokenBatches(self.train_dataset, self.max_tokens, self.args.seed, rank, self.workers)
        return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)


def build_model(config: dict[str, Any], weights: Weights, word_shape: NDArray[np.int64] | None, attention: str) -> Any:
    """The model with the weights; with `word_shape`, its word embeddings learn case.

    attention: an implementation in `transformers`; on CPUs, training is fastest with "eager"
    """
    model = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**config), attn_implementation=attention)
    if word_shape is not None:
        model.set_input_embeddings(CasedEmbedding(model.get_input_embeddings().weight.detach(), word_shape))
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    return model.float()


def _computes_in_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _collate(padding: int, windows: list[dict[str, NDArray[np.int64]]]) -> dict[str, torch.Tensor]:
    """Pad the windows of a batch to the longest."""
    ids, labels = ([torch.from_numpy(window[name]) for window in windows] for name in ("input_ids", "labels"))
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=padding),
        "attention_mask": pad_sequence([torch.ones_like(i) for i in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORED),
    }


def group_loss(
    sizes: Sequence[int], outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Mean cross-entropy over tokens and groups of tags.

    sizes:              number of tags of each group
    num_items_in_batch: tags in all parts of an accumulated batch, by which the sum is divided
    """
    losses = [
        torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels[..., group].flatten(), reduction="sum", ignore_index=IGNORED
        )
        for group, logits in enumerate(outputs.logits.split(list(sizes), -1))
    ]
    return torch.stack(losses).sum() / ((labels != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch)


def _best(logits: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    """Index of the best tag in each group, and its probability: (..., groups, 2)."""
    best = [group.softmax(-1).max(-1) for group in torch.split(logits, list(sizes), -1)]
    return torch.stack([torch.stack([b.indices.to(b.values.dtype), b.values], -1) for b in best], -2)


class MovingAverage(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
    """An exponential moving average of the weights (Polyak and Juditsky 1992), saved with each checkpoint.

    factor: share of the average that is kept at a step; less in the first steps, to forget the initial weights soon
    folder: where the trainer writes its checkpoints
    resume: checkpoint to resume from
    """

    def __init__(self, model: torch.nn.Module, factor: float, folder: str, resume: str | None) -> None:
        self.model = model
        self.factor = factor
        self.folder = folder
        self.average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if resume is not None:
            self.average = load_file(Path(resume) / AVERAGED_FILE)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not state.is_world_process_zero:
            return  # all processes have equal weights
        step = state.global_step
        share = 1 - min(self.factor, step / (step + 9))
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                self.average[name] = self.average[name].to(tensor.device).lerp(tensor.float(), share)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero and (last := get_last_checkpoint(self.folder)):
            save_file({name: t.contiguous() for name, t in self.average.items()}, Path(last) / AVERAGED_FILE)


class _Events(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
    """Selects the examples of each epoch, and calls back after steps and epochs."""

    def __init__(self, examples: EpochExamples, folder: str, on_step: OnStep, on_checkpoint: OnCheckpoint) -> None:
        self.examples = examples
        self.folder = folder
        self.report_step = on_step
        self.report_checkpoint = on_checkpoint

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.examples.epoch = round(state.epoch or 0)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero:
            self.report_step(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        last = get_last_checkpoint(self.folder) if state.is_world_process_zero else None
        self.report_checkpoint(card_rows(state.log_history), Path(last) if last else None)


def card_rows(history: list[Row]) -> list[Row]:
    """A row for each evaluation in the trainer's log, with the training loss that was logged last before it."""
    rows, loss = [], float("nan")
    for entry in history:
        loss = entry.get("loss", loss)
        if "eval_f1" in entry:
            figures = {name: entry[f"eval_{name}"] for name in ("loss", "precision", "recall", "f1", "accuracy")}
            rows.append({"training_loss": loss, "epoch": entry["epoch"], "step": entry["step"], **figures})
    return rows


class _Metrics:
    """Scores of the main corpus's mentions on the development set."""

    def __init__(self, data: TrainingData) -> None:
        self.groups, self.units = data.main_groups, data.dev_units
        self.first = np.cumsum([0, *data.main_head.sizes])[: self.groups].astype(np.int8)
        self.tags = TagSet.from_id2label(dict(enumerate(data.main_head.tags)))

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        labels = np.asarray(prediction.label_ids)
        kept = labels[..., 0] != IGNORED
        gold = labels[kept][:, : self.groups]
        best = np.asarray(prediction.predictions)[kept][:, : self.groups]
        predicted, score = best[..., 0].astype(np.int8), best[..., 1].astype(np.float32)
        gold_spans, spans = self._spans(gold.astype(np.int8), np.ones_like(score)), self._spans(predicted, score)
        counts = total(score_by_label(gold_spans, spans, self.tags.names).values())
        accuracy = float((gold == predicted).mean())
        return {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1, "accuracy": accuracy}

    def _spans(self, tag: NDArray[np.int8], score: NDArray[np.float32]) -> Spans:
        predictions = Predictions.of(tag + self.first, score, self.tags.label < 0, self.units.inner)
        return find_mentions(predictions, self.units.sentence, self.units.inner, self.tags)[0]
