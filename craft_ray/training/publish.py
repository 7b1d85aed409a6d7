"""Write the checkpoint of a training: weights, tokenizer, config.json, and the model card."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import transformers

from craft_ray.core.descriptions import KEY, LabelDescription, as_json
from craft_ray.core.labels import is_craft
from craft_ray.model.checkpoint import SEEN_FILE, update_config
from craft_ray.model.loading import load_checkpoint
from craft_ray.training.casing import CasedEmbedding
from craft_ray.training.corpora import Corpus, corpus_keys
from craft_ray.training.evaluation import calibrate
from craft_ray.training.quantization import quantized
from craft_ray.training.trainer import Row, TrainingData, Weights, build_model
from craft_ray.training.training_data import label_config


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Settings and measurements of a training.

    data:   `train`, `dev`, `base` and others, in words
    rows:   one per epoch
    scores: of the final checkpoint on the development set, as `evaluation.evaluate_tokens` returns them
    int8:   the same in int8
    """

    data: Mapping[str, str]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    rows: list[Row]
    scores: Mapping[str, Any]
    int8: Mapping[str, Any]


def export_checkpoint(
    folder: Path,
    data: TrainingData,
    weights: Weights,
    rows: list[Row],
    train: Corpus,
    dev: Corpus,
    labels: Mapping[str, LabelDescription],
) -> TrainingResult:
    """Write the checkpoint, then calibrate, quantize and evaluate it on `dev`, and write its card."""
    _save_model(folder, data, weights, labels)
    np.save(folder / SEEN_FILE, corpus_keys(train.sentences))
    update_config(folder, score_calibration=calibrate(load_checkpoint(str(folder)), dev.sentences))
    int8 = quantized(load_checkpoint(str(folder)), train.sentences, dev.sentences)
    if int8.harmless:
        int8.write(folder)
    recipe = data.recipe
    names = {label: [Path(file).name for file in files] for label, files in recipe.names.items()}
    result = TrainingResult(
        data=data.sources,
        settings=recipe.model_dump() | {"names": names},
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
    card = model_card(result, load_checkpoint(str(folder)).descriptions)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return result


def _save_model(folder: Path, data: TrainingData, weights: Weights, labels: Mapping[str, LabelDescription]) -> None:
    recipe = data.recipe
    config = data.config | label_config(data.main_head) | {"window_pieces": recipe.window_pieces}
    if recipe.nested:
        config["label_pieces"] = True
    if recipe.refine_mentions:
        config["refine_mentions"] = True
    if labels:
        config[KEY] = as_json(labels)
    model = build_model(config, weights, data.word_shape, attention="eager")
    if isinstance(cased := model.get_input_embeddings(), CasedEmbedding):
        model.set_input_embeddings(cased.plain())
    model.half().save_pretrained(folder)
    data.tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    if tokenizer["tokenizer_class"] == "TokenizersBackend":  # transformers before version 5 does not know it
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
        file.write_text(json.dumps(tokenizer, indent=2) + "\n", encoding="utf-8")


def model_card(result: TrainingResult, descriptions: Mapping[str, LabelDescription]) -> str:
    """The README.md of a trained checkpoint, in the columns of the published CRAFT card."""
    scores = result.scores
    epochs = [
        "| Training Loss | Epoch | Step | Validation Loss | Precision | Recall | F1 | Accuracy |",
        "|:---:|:---:|:---:|:---:|:---:|:---:|:---:|:---:|",
    ]
    for row in result.rows:
        figures = " | ".join(f"{row[name]:.4f}" for name in ("loss", "precision", "recall", "f1", "accuracy"))
        epochs.append(f"| {row['training_loss']:.4f} | {row['epoch']:.1f} | {row['step']:.0f} | {figures} |")
    return "\n".join(
        [
            "---\nlibrary_name: transformers\npipeline_tag: token-classification\n---",
            f"# {result.data['base']} fine-tuned on {result.data['train'].partition(' (')[0]}\n",
            f"Finds mentions of {', '.join(scores['per_label'])}. Evaluated on the development set after",
            "each epoch, at entity level as `seqeval` counts.\n",
            *epochs,
            "\nThe final checkpoint, in half precision, on the development set: "
            f"F1 {scores['f1']:.4f}, loss {scores['loss']:.4f}, accuracy {scores['accuracy']:.4f}. In int8, which "
            f"`craft_ray` uses on CPUs if F1 falls by no more than 0.002: F1 {result.int8['f1']:.4f}.\n",
            *_label_table(scores["per_label"], descriptions),
            "",
            "| Mentions | Precision | Recall | F1 | Number |",
            "|---" * 5 + "|",
            f"| seen in training | {_figures(scores['seen'])} |",
            f"| not seen in training | {_figures(scores['unseen'])} |",
            "\n`craft_ray` calibrates scores by `score_calibration` of config.json, fitted on the development set; the",
            f"expected calibration error there is {scores['ece']:.4f}. A model with `window_pieces` above 0 was",
            "trained on windows of consecutive sentences of up to that many word pieces, and works best on them.\n",
            "## Data and settings\n",
            *(f"- {name}: {value}" for name, value in result.data.items()),
            f"- settings: `{json.dumps(result.settings)}`; AdamW, betas 0.9 and 0.999, epsilon 1e-8, linear schedule",
            f"- versions: {', '.join(f'{name} {version}' for name, version in result.versions.items())}",
            "",
        ]
    )


def _label_table(
    per_label: Mapping[str, Mapping[str, float]], descriptions: Mapping[str, LabelDescription]
) -> list[str]:
    about = {name: descriptions.get(name, LabelDescription()) for name in per_label}
    rows = [
        f"| {name} | {', '.join(about[name].prefixes)} | {about[name].meaning} | {_figures(score)} |"
        for name, score in per_label.items()
    ]
    if "Gene" in per_label and is_craft(per_label):
        rows.append("\n`Gene` means GO cellular components, not genes: genes and their products are `Protein`.")
    return ["| Label | Concepts | What it is | Precision | Recall | F1 | Mentions |", "|---" * 7 + "|", *rows]


def _figures(score: Mapping[str, float]) -> str:
    return f"{score['precision']:.4f} | {score['recall']:.4f} | {score['f1']:.4f} | {score['support']}"
