"""Fine-tuning an encoder for token classification on an IOB corpus, with the published CRAFT card's recipe as default.

The loop is `transformers.Trainer`'s, as the card's was; what is ours is the features, the metrics and the model card.
"""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    EvalPrediction,
    Trainer,
    TrainingArguments,
)

from craft_ray.corpora import TaggedSentence, read_iob
from craft_ray.errors import SettingsError
from craft_ray.labels import LABELS, TAG_SET, TAGS
from craft_ray.metrics import Counts, score_by_label
from craft_ray.spans import find_spans

IGNORED = -100
"""The label id that torch's cross-entropy leaves out: pieces after a word's first."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The defaults are the published CRAFT card's."""

    learning_rate: float = 3e-5
    batch_size: int = 8
    epochs: float = 4
    warmup: float = 0.0
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = 0.0
    seed: int = 42
    bf16: bool = False
    """bfloat16 autocast."""
    bucket: bool = False
    """Batches of sentences of like length: faster, in another order than the card's."""
    max_steps: int = -1
    """Stop after so many steps; -1 for all epochs."""


@dataclass(slots=True)
class TrainingResult:
    """What a run measured: a row an epoch, in the card's columns, and the last epoch's figures per label."""

    rows: list[dict[str, float]] = field(default_factory=list)
    per_label: dict[str, dict[str, float | int]] = field(default_factory=dict)


def train(train_file: str, dev_file: str, base: str, output: str, recipe: Recipe | None = None) -> TrainingResult:
    """Fine-tune `base` on one IOB file, measure on another after each epoch, and write a Hugging Face folder.

    output: receives fp16 safetensors, tokenizer, configuration with the six names, and a model card (README.md).

    Raises SettingsError if a corpus or the base cannot be read or has labels outside the six.
    """
    recipe = recipe or Recipe()
    train_set, dev_set = read_iob(train_file), read_iob(dev_file)
    transformers.set_seed(recipe.seed)
    model, tokenizer = _load_base(base)
    result = TrainingResult()
    trainer = Trainer(
        model=model,
        args=_arguments(recipe, output),
        train_dataset=_features(tokenizer, train_set),
        eval_dataset=_features(tokenizer, dev_set),
        data_collator=DataCollatorForTokenClassification(tokenizer),
        processing_class=tokenizer,
        compute_metrics=lambda prediction: _metrics(prediction, result),
    )
    trainer.train()
    result.rows = _card_rows(trainer.state.log_history)
    folder = Path(output)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    data = {"train": train_file, "dev": dev_file, "base": base}
    sizes = {"train": len(train_set), "dev": len(dev_set)}
    (folder / "README.md").write_text(_model_card(data, sizes, recipe, result), encoding="utf-8")
    return result


def _load_base(base: str) -> tuple[Any, Any]:
    """The encoder with a new head for the tag set, and its tokenizer."""
    names = dict(enumerate(TAGS))
    try:
        config = AutoConfig.from_pretrained(
            base, id2label=names, label2id={tag: i for i, tag in names.items()}, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False, add_prefix_space=True)
        model = AutoModelForTokenClassification.from_pretrained(base, config=config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise SettingsError(f"cannot load the base model {base}: {str(error).splitlines()[0]}") from error
    return model.float(), tokenizer


def _arguments(recipe: Recipe, output: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=output,
        learning_rate=recipe.learning_rate,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps,
        warmup_steps=recipe.warmup,  # below 1 it is a share of all steps
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="linear",
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        seed=recipe.seed,
        bf16=recipe.bf16,
        train_sampling_strategy="group_by_length" if recipe.bucket else "random",
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="epoch",
        report_to=[],
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _features(tokenizer: Any, sentences: Sequence[TaggedSentence]) -> list[dict[str, list[int]]]:
    """Token ids and labels of each sentence; a word's tag stands at its first piece.

    Sentences longer than the model takes are cut, as the card's were: at 512 pieces, a few of CRAFT-IOB's.
    """
    encoded = tokenizer([s.words for s in sentences], is_split_into_words=True, truncation=True)
    number = {tag: i for i, tag in enumerate(TAGS)}
    if unknown := {tag for s in sentences for tag in s.tags} - set(number):
        raise SettingsError(f"the corpus has tags outside the six labels: {', '.join(sorted(unknown))}")
    features = []
    for i, sentence in enumerate(sentences):
        labels, before = [], None
        for word in encoded.word_ids(i):
            labels.append(IGNORED if word is None or word == before else number[sentence.tags[word]])
            before = word
        features.append({"input_ids": encoded["input_ids"][i], "labels": labels})
    return features


def _metrics(prediction: EvalPrediction, result: TrainingResult) -> dict[str, float]:
    """The card's precision, recall, F1 and accuracy; keeps the figures per label."""
    labels: NDArray[np.int64] = np.asarray(prediction.label_ids)
    kept = labels != IGNORED
    sentence = np.nonzero(kept)[0]
    gold, guess = labels[kept], np.asarray(prediction.predictions).argmax(-1)[kept]
    by_label = score_by_label(find_spans(gold, sentence, TAG_SET), find_spans(guess, sentence, TAG_SET), TAG_SET.names)
    result.per_label = {name: counts.report() for name, counts in by_label.items()}
    total = sum(by_label.values(), Counts())
    accuracy = float((gold == guess).mean())
    return {"precision": total.precision, "recall": total.recall, "f1": total.f1, "accuracy": accuracy}


def _card_rows(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """A row for each evaluation, with the training loss logged last before it."""
    rows, loss = [], float("nan")
    for entry in history:
        loss = entry.get("loss", loss)
        if "eval_f1" in entry:
            figures = {name: entry[f"eval_{name}"] for name in ("loss", "precision", "recall", "f1", "accuracy")}
            rows.append({"training_loss": loss, "epoch": entry["epoch"], "step": entry["step"], **figures})
    return rows


def _model_card(data: dict[str, str], sizes: dict[str, int], recipe: Recipe, result: TrainingResult) -> str:
    table = [
        "| Training Loss | Epoch | Step | Validation Loss | Precision | Recall | F1 | Accuracy |",
        "|:---:|:---:|:---:|:---:|:---:|:---:|:---:|:---:|",
    ]
    for row in result.rows:
        figures = " | ".join(f"{row[name]:.4f}" for name in ("loss", "precision", "recall", "f1", "accuracy"))
        table.append(f"| {row['training_loss']:.4f} | {row['epoch']:.1f} | {row['step']:.0f} | {figures} |")
    labels = [
        "| Label | CRAFT-IOB tag | Ontology | What it is | Precision | Recall | F1 | Mentions |",
        "|---" * 8 + "|",
    ]
    for label in LABELS:
        score = result.per_label[label.name]
        figures = f"{score['precision']:.4f} | {score['recall']:.4f} | {score['f1']:.4f} | {score['support']}"
        labels.append(f"| {label.name} | {label.tag} | {label.ontology} | {label.meaning} | {figures} |")
    versions = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return "\n".join(
        [
            "---\nlibrary_name: transformers\npipeline_tag: token-classification\n---",
            f"# {Path(data['base']).name} fine-tuned on CRAFT\n",
            "Finds mentions of six kinds of entity in biomedical text. Measured on the development set after each",
            "epoch; entity level, as `seqeval` counts.\n",
            *table,
            "\nPer label, after the last epoch:\n",
            *labels,
            "\n`Gene` holds GO cellular components, not genes: genes and their products are `Protein`.\n",
            "## Data and settings\n",
            f"- train: {Path(data['train']).name} ({sizes['train']} sentences); dev: {Path(data['dev']).name} "
            f"({sizes['dev']} sentences)",
            f"- settings: `{json.dumps(asdict(recipe))}`; AdamW, betas 0.9 and 0.999, epsilon 1e-8, linear schedule",
            f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
            "",
        ]
    )
