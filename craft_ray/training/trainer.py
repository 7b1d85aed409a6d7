"""One stage of fine-tuning: examples in, checkpoints out, by `transformers.Trainer`. Knows no files of ours and no Ray.

Corpora with label sets of their own are learnt together with one head: its rows are the labels of all corpora, and a
word's loss is over the rows of its own corpus alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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

from craft_ray.model.tags import TagSet, iob_to_spans
from craft_ray.training.averaging import MovingAverage
from craft_ray.training.batching import TokenBatches
from craft_ray.training.casing import CasedEmbedding
from craft_ray.training.examples import IGNORED, EpochExamples, Examples
from craft_ray.training.metrics import score_by_label, total
from craft_ray.training.recipe import Recipe

Weights = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Phase:
    """Everything that a worker needs to train.

    config:  the model's configuration
    weights: what to begin with; after case was added, with the case's vectors
    word_shape:  how each word piece is written, if case is learnt; else None
    corpus:  (labels,) the number of the corpus to which each row of the head belongs; 0 is the one to train on
    examples: variants of the training set, one per epoch
    dev_sentence: (words,) sentence number of each word of the development set
    """

    config: dict[str, Any]
    weights: Weights
    word_shape: NDArray[np.int64] | None
    tokenizer: PreTrainedTokenizerFast
    corpus: NDArray[np.int64]
    examples: tuple[Examples, ...]
    dev: Examples
    dev_sentence: NDArray[np.int32]
    recipe: Recipe
    learning_rate: float
    epochs: float

    @property
    def tags(self) -> TagSet:
        """The meaning of the head's first rows, those of the corpus to train on."""
        own = int((self.corpus == 0).sum())
        return TagSet.from_id2label({i: self.config["id2label"][i] for i in range(own)})


class TrainingListener:
    """A listener to a phase of training while it runs; the base class ignores everything."""

    def on_step(self, step: int, steps: int) -> None:
        """After each step."""

    def on_epoch(self, rows: list[dict[str, float]], checkpoint: Path | None) -> None:
        """After each epoch: the card's rows so far, and a folder to resume from (None on all workers but the first)."""


def fit(
    phase: Phase,
    folder: str,
    listener: TrainingListener,
    *,
    workers: int = 1,
    accumulate: int = 1,
    resume: str | None = None,
) -> None:
    """Train a stage in this process, which may be one of several that torch has joined.

    folder: for checkpoints; resume: a checkpoint to go on from
    """
    recipe = phase.recipe
    set_seed(recipe.seed)
    gpu = torch.cuda.is_available()
    model = build_model(phase.config, phase.weights, phase.word_shape, attention="sdpa" if gpu else "eager")
    rounds = EpochExamples(phase.examples)
    averaging = [MovingAverage(model, recipe.moving_average, folder, resume)] if recipe.moving_average else []
    trainer = _Trainer(
        recipe.batch_tokens // (workers * accumulate),
        workers,
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            learning_rate=phase.learning_rate,
            per_device_train_batch_size=max(1, recipe.batch_size // (workers * accumulate)),
            per_device_eval_batch_size=max(1, recipe.batch_size // workers),
            gradient_accumulation_steps=accumulate,
            num_train_epochs=phase.epochs,
            max_steps=recipe.max_steps,
            warmup_steps=recipe.warmup,  # below 1 it is a share of all steps
            weight_decay=recipe.weight_decay,
            lr_scheduler_type="linear",
            adam_beta1=0.9,
            adam_beta2=0.999,
            adam_epsilon=1e-8,
            seed=recipe.seed,
            bf16=recipe.precision == "bf16" or (recipe.precision == "auto" and _computes_in_bf16()),
            train_sampling_strategy="group_by_length" if recipe.bucket else "random",
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
        train_dataset=rounds,
        eval_dataset=phase.dev,
        data_collator=_Collator(phase.tokenizer.pad_token_id or 0),
        compute_loss_func=_CorpusLoss(phase.corpus),
        compute_metrics=lambda prediction: _metrics(prediction, phase.dev_sentence, phase.tags),
        preprocess_logits_for_metrics=lambda logits, labels: logits[..., : len(phase.tags.label)].argmax(-1),
        callbacks=[*averaging, _ListenerCallback(listener, folder, rounds)],
    )
    trainer.train(resume_from_checkpoint=resume)


class _Trainer(Trainer):  # type: ignore[misc]  # transformers is not checked
    """A trainer whose batches may be measured in tokens."""

    def __init__(self, tokens: int, workers: int, **options: Any) -> None:
        super().__init__(**options)
        self.tokens = tokens
        self.workers = workers

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of so many padded tokens per worker; without a number of tokens, the base class's."""
        if not self.tokens:
            loader: DataLoader[Any] = super().get_train_dataloader()
            return loader
        rank = self.args.process_index
        batches = TokenBatches(self.train_dataset, self.tokens, self.args.seed, rank, self.workers)
        return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)


def build_model(config: dict[str, Any], weights: Weights, word_shape: NDArray[np.int64] | None, attention: str) -> Any:
    """The model with the weights; with `word_shape`, its word embeddings learn case.

    attention: `transformers`' implementation; on a CPU, training is fastest with "eager"
    """
    model = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**config), attn_implementation=attention)
    if word_shape is not None:
        model.set_input_embeddings(CasedEmbedding(model.get_input_embeddings().weight.detach(), word_shape))
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    return model.float()


def _computes_in_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


class _Collator:
    """Pads the windows of a batch to the longest."""

    def __init__(self, padding: int) -> None:
        self.padding = padding

    def __call__(self, windows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        shape = len(windows), max(len(window["input_ids"]) for window in windows)
        ids, labels = torch.full(shape, self.padding), torch.full(shape, IGNORED)
        mask = torch.zeros(shape, dtype=torch.long)
        for row, window in enumerate(windows):
            length = len(window["input_ids"])
            ids[row, :length] = torch.tensor(window["input_ids"])
            labels[row, :length] = torch.tensor(window["labels"])
            mask[row, :length] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


class _CorpusLoss:
    """Mean cross-entropy over words, each over the labels of its own corpus.

    corpus: (labels,) the corpus of each row of the head
    """

    def __init__(self, corpus: NDArray[np.int64]) -> None:
        self.corpus = torch.from_numpy(corpus.copy())

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """num_items_in_batch: words over all parts of an accumulated batch, which makes its mean exact."""
        kept = labels != IGNORED
        gold, logits = labels[kept], outputs.logits[kept].float()
        corpus = self.corpus.to(gold.device)
        logits = logits.masked_fill(corpus[None, :] != corpus[gold][:, None], float("-inf"))
        loss = torch.nn.functional.cross_entropy(logits, gold, reduction="sum")
        return loss / (len(gold) if num_items_in_batch is None else num_items_in_batch)


class _ListenerCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
    """Passes the trainer's events on."""

    def __init__(self, listener: TrainingListener, folder: str, rounds: EpochExamples) -> None:
        self.listener = listener
        self.folder = folder
        self.rounds = rounds

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The next variant of the examples is due."""
        self.rounds.epoch = round(state.epoch or 0)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A step is done."""
        if state.is_world_process_zero:
            self.listener.on_step(state.global_step, state.max_steps)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """An epoch is measured and saved."""
        last = get_last_checkpoint(self.folder) if state.is_world_process_zero else None
        self.listener.on_epoch(card_rows(state.log_history), Path(last) if last else None)


def card_rows(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """A row for each evaluation in the card's columns, with the training loss logged last before it."""
    rows, loss = [], float("nan")
    for entry in history:
        loss = entry.get("loss", loss)
        if "eval_f1" in entry:
            figures = {name: entry[f"eval_{name}"] for name in ("loss", "precision", "recall", "f1", "accuracy")}
            rows.append({"training_loss": loss, "epoch": entry["epoch"], "step": entry["step"], **figures})
    return rows


def _metrics(prediction: EvalPrediction, sentence: NDArray[np.int32], tags: TagSet) -> dict[str, float]:
    """The card's precision, recall, F1 and accuracy."""
    labels = np.asarray(prediction.label_ids)
    kept = labels != IGNORED
    gold, guess = labels[kept], np.asarray(prediction.predictions)[kept]
    counts = total(
        score_by_label(iob_to_spans(gold, sentence, tags), iob_to_spans(guess, sentence, tags), tags.names).values()
    )
    accuracy = float((gold == guess).mean())
    return {"precision": counts.precision, "recall": counts.recall, "f1": counts.f1, "accuracy": accuracy}
