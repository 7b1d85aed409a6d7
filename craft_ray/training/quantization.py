"""Int8 for a checkpoint: ranges of layer inputs, measured on text and checked on a development set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from craft_ray.model.batches import Batches
from craft_ray.model.checkpoint import Checkpoint, update_config
from craft_ray.model.engines.int8 import measure_ranges
from craft_ray.model.inference import Model
from craft_ray.model.windows import Windower
from craft_ray.training.corpora import Sentence
from craft_ray.training.evaluation import evaluate_tokens

SAMPLE = 1500
"""Sentences on which ranges are measured, spread evenly over the corpus."""

MAX_F1_LOSS = 0.002
"""F1 that int8 may cost on the development set."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """Ranges for `activation_ranges` of config.json, and the scores in fp32 and in int8 with them."""

    ranges: dict[str, tuple[float, float]]
    exact: dict[str, Any]
    int8: dict[str, Any]

    @property
    def harmless(self) -> bool:
        """True if int8 may be the default on CPUs."""
        return bool(self.int8["f1"] >= self.exact["f1"] - MAX_F1_LOSS)

    def write(self, folder: Path) -> None:
        update_config(folder, activation_ranges=self.ranges)


def quantized(checkpoint: Checkpoint, text: Sequence[Sentence], dev: Sequence[Sentence]) -> Quantized:
    """Measure ranges on sentences of `text`, and compare int8 with fp32 on `dev`."""
    sample = text[:: max(1, len(text) // SAMPLE)]
    _, windows = Windower.of(checkpoint)([sentence.text for sentence in sample])
    batches = Batches.of(windows.token_ids, windows.window_length, checkpoint.special)
    ranges = measure_ranges(checkpoint, batches.all_padded(2048))
    with_ranges = replace(checkpoint, activation_ranges=ranges)
    exact, int8 = (evaluate_tokens(checkpoint, dev, Model.of(with_ranges, p)) for p in ("fp32", "int8"))
    return Quantized(ranges, exact, int8)
