"""The README.md of a trained checkpoint: the published card's table, filled by the run, and what its labels mean."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import ray.train
import torch
import transformers

from craft_ray.core.descriptions import KEY, LabelDescription, as_json
from craft_ray.core.labels import LABELS, is_craft
from craft_ray.model.checkpoint import SEEN_FILE, update_config
from craft_ray.model.loading import load_checkpoint
from craft_ray.training.casing import CasedEmbedding
from craft_ray.training.corpora import Corpus, keys_shown
from craft_ray.training.evaluation import calibrate
from craft_ray.training.material import TrainingData
from craft_ray.training.quantization import quantized
from craft_ray.training.trainer import Weights, build_model


@dataclass(frozen=True, slots=True)
class Trained:
    """Settings and measurements of a training run.

    data:    what it was made of: `train`, `dev`, `base` and others, in words
    rows:    one entry per epoch: training_loss, epoch, step, loss, precision, recall, f1, accuracy
    scores:  the shipped checkpoint's scores on the development set, as `evaluation.evaluate_tokens` gives them
    int8:    the same in int8
    """

    data: Mapping[str, str]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    rows: list[dict[str, float]]
    scores: Mapping[str, Any]
    int8: Mapping[str, Any]


def _name_tokenizer(file: Path) -> None:
    """Name a tokenizer that is all in tokenizer.json as releases of transformers before 5 know it, too."""
    config = json.loads(file.read_text(encoding="utf-8"))
    if config["tokenizer_class"] == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def model_card(trained: Trained, known: Mapping[str, LabelDescription] = MappingProxyType({})) -> str:
    """The card as Markdown; `known` is what is known of the labels."""
    table = [
        "| Training Loss | Epoch | Step | Validation Loss | Precision | Recall | F1 | Accuracy |",
        "|:---:|:---:|:---:|:---:|:---:|:---:|:---:|:---:|",
    ]
    for row in trained.rows:
        figures = " | ".join(f"{row[name]:.4f}" for name in ("loss", "precision", "recall", "f1", "accuracy"))
        table.append(f"| {row['training_loss']:.4f} | {row['epoch']:.1f} | {row['step']:.0f} | {figures} |")
    parts = ["| Mentions | Precision | Recall | F1 | Number |", "|---" * 5 + "|"]
    for name, words in (("seen", "shown in training"), ("unseen", "never shown in training")):
        parts.append(f"| {words} | {_figures(trained.scores[name])} |")
    return "\n".join(
        [
            "---\nlibrary_name: transformers\npipeline_tag: token-classification\n---",
            f"# {trained.data['base']} fine-tuned on {trained.data['train'].partition(' (')[0]}\n",
            f"Finds mentions of {len(trained.scores['per_label'])} kinds of entity. Measured on the development set",
            "after each epoch; entity level, as `seqeval` counts.\n",
            *table,
            "\nThe checkpoint as it is shipped, in half precision, on the development set: "
            f"F1 {trained.scores['f1']:.4f}, loss {trained.scores['loss']:.4f}, "
            f"accuracy {trained.scores['accuracy']:.4f}. In int8, as `craft_ray` runs it on a CPU where F1 falls by no "
            f"more than 0.002: F1 {trained.int8['f1']:.4f}.\n",
            *_labels(trained.scores["per_label"], known),
            "",
            *parts,
            "\n`craft_ray` calibrates scores by `score_calibration` of config.json, fitted on the development set; the",
            f"expected calibration error there is {trained.scores['ece']:.4f}. A model with `window_pieces` above 0",
            "was trained on windows of consecutive sentences of up to so many word pieces, and reads best in such.\n",
            "## Data and settings\n",
            *(f"- {name}: {value}" for name, value in trained.data.items()),
            f"- settings: `{json.dumps(trained.settings)}`; AdamW, betas 0.9 and 0.999, epsilon 1e-8, linear schedule",
            f"- versions: {', '.join(f'{name} {version}' for name, version in trained.versions.items())}",
            "",
        ]
    )


def _labels(per_label: Mapping[str, Mapping[str, float]], known: Mapping[str, LabelDescription]) -> list[str]:
    """A table of the labels, with what is known of them."""
    if not is_craft(per_label):
        about = {name: known.get(name, LabelDescription()) for name in per_label}
        rows = [
            f"| {name} | {', '.join(about[name].prefixes)} | {about[name].meaning} | {_figures(score)} |"
            for name, score in per_label.items()
        ]
        return ["| Label | Concepts | What it is | Precision | Recall | F1 | Mentions |", "|---" * 7 + "|", *rows]
    rows = [
        f"| {label.name} | {label.tag} | {label.ontology} | {label.meaning} | {_figures(per_label[label.name])} |"
        for label in LABELS
    ]
    return [
        "| Label | CRAFT-IOB tag | Ontology | What it is | Precision | Recall | F1 | Mentions |",
        "|---" * 8 + "|",
        *rows,
        "\n`Gene` holds GO cellular components, not genes: genes and their products are `Protein`.",
    ]


def _figures(score: Mapping[str, float]) -> str:
    return f"{score['precision']:.4f} | {score['recall']:.4f} | {score['f1']:.4f} | {score['support']}"


def export_checkpoint(
    folder: Path,
    material: TrainingData,
    weights: Weights,
    rows: list[dict[str, float]],
    train: Corpus,
    dev: Corpus,
    labels: Mapping[str, LabelDescription] = MappingProxyType({}),
) -> Trained:
    """Write the checkpoint, calibrate its scores, measure it as it will be used, and write its card."""
    recipe = material.recipe
    read = recipe.window_pieces if recipe.reading_pieces is None else recipe.reading_pieces
    config = material.last_stage(weights).config | {"window_pieces": read}
    if recipe.refine_mentions:
        config["refine_mentions"] = True
    if labels:
        config[KEY] = as_json(labels)
    model = build_model(config, weights, material.word_shape, attention="eager")
    if isinstance(cased := model.get_input_embeddings(), CasedEmbedding):
        plain = torch.nn.Embedding(*cased.weight.shape)
        plain.weight = torch.nn.Parameter(cased.folded())
        model.set_input_embeddings(plain)
    model.half().save_pretrained(folder)
    material.tokenizer.save_pretrained(folder)
    _name_tokenizer(folder / "tokenizer_config.json")
    np.save(folder / SEEN_FILE, keys_shown(train.sentences))
    checkpoint = load_checkpoint(str(folder))
    update_config(folder, score_calibration=calibrate(checkpoint, dev.sentences))
    if (int8 := quantized(load_checkpoint(str(folder)), train.sentences, dev.sentences)).harmless:
        int8.write(folder)
    trained = Trained(
        data={
            "base": Path(material.base).name,
            "train": f"{train.name} ({len(train.sentences)} sentences)",
            "dev": f"{dev.name} ({len(dev.sentences)} sentences)",
        }
        | ({"auxiliary": ", ".join(material.auxiliary)} if material.auxiliary else {}),
        settings=recipe.model_dump()
        | {"names": {label: [Path(file).name for file in files] for label, files in recipe.names.items()}},
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
    known = load_checkpoint(str(folder)).descriptions
    (folder / "README.md").write_text(model_card(trained, known), encoding="utf-8")
    return trained
