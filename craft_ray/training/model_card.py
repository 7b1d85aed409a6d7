"""The README.md of a trained checkpoint, in the columns of the published CRAFT card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from craft_ray.core.descriptions import LabelDescription
from craft_ray.core.labels import is_craft
from craft_ray.training.trainer import Row


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


def model_card(result: TrainingResult, descriptions: Mapping[str, LabelDescription]) -> str:
    """The card as Markdown."""
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
