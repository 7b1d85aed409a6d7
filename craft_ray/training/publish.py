"""Write the checkpoint of a training: weights, tokenizer, config.json, and the model card."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import ray
import torch
import transformers

from craft_ray.core.descriptions import KEY, LabelDescription, as_json
from craft_ray.model.checkpoint import SEEN_FILE, update_config
from craft_ray.model.loading import load_checkpoint
from craft_ray.training.casing import CasedEmbedding
from craft_ray.training.corpora import Corpus
from craft_ray.training.evaluation import calibrate
from craft_ray.training.examples import Head
from craft_ray.training.model_card import TrainingResult, model_card
from craft_ray.training.quantization import quantized
from craft_ray.training.recipe import Recipe
from craft_ray.training.seen_mentions import corpus_keys
from craft_ray.training.trainer import Row, Weights, build_model
from craft_ray.training.training_data import TrainingData, label_config


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
    result = TrainingResult(
        data={
            "base": Path(data.base).name,
            "train": f"{train.name} ({len(train.sentences)} sentences)",
            "dev": f"{dev.name} ({len(dev.sentences)} sentences)",
        }
        | ({"auxiliary": ", ".join(data.auxiliary)} if data.auxiliary else {}),
        settings=_without_folders(data.initial.recipe),
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
    recipe = data.initial.recipe
    window_pieces = recipe.window_pieces if recipe.reading_pieces is None else recipe.reading_pieces
    main = Head(data.head.groups[: data.main_groups])
    config = data.initial.config | label_config(main) | {"window_pieces": window_pieces}
    if recipe.nested:
        config["label_pieces"] = True
    if recipe.refine_mentions:
        config["refine_mentions"] = True
    if labels:
        config[KEY] = as_json(labels)
    model = build_model(config, weights, data.initial.word_shape, attention="eager")
    if isinstance(cased := model.get_input_embeddings(), CasedEmbedding):
        model.set_input_embeddings(cased.plain())
    model.half().save_pretrained(folder)
    data.initial.tokenizer.save_pretrained(folder)
    _name_tokenizer_class(folder / "tokenizer_config.json")


def _name_tokenizer_class(file: Path) -> None:
    """Write the class name that transformers before version 5 knows as well."""
    config = json.loads(file.read_text(encoding="utf-8"))
    if config["tokenizer_class"] == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _without_folders(recipe: Recipe) -> dict[str, object]:
    """The recipe as JSON values, with the names of files instead of their paths."""
    names = {label: [Path(file).name for file in files] for label, files in recipe.names.items()}
    return recipe.model_dump() | {"names": names}
