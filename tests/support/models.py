"""Sentences to windows to predictions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.inference import Model
from craft_ray.model.loading import SHIPPED, load_checkpoint
from craft_ray.model.tokens import load_tokenizer
from craft_ray.model.windows import Windower, Windows

TOKENIZER = load_tokenizer((SHIPPED["craft-iob"] / "tokenizer.json").read_text(encoding="utf-8"))
CHECKPOINT = replace(load_checkpoint("craft-iob"), window_pieces=0, fingerprint="model")


def windows_of(checkpoint: Checkpoint, sentences: Sequence[str]) -> Windows:
    return Windower.of(checkpoint)(sentences)[1]


def predict(model: Model, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Label id of each unit of a model with one group, and its score; 0 and 0.0 for units that are outside."""
    predictions = model.predict(windows.token_ids, windows.window_length, windows.unit_piece, windows.unit_inner)
    label, score = np.zeros(len(windows.unit_piece), np.int8), np.zeros(len(windows.unit_piece), np.float32)
    label[predictions.unit], score[predictions.unit] = predictions.label_id, predictions.score
    return label, score
