"""Confidence of concept ids: how often each step was right on CRAFT articles that the lexicon had not seen.

The counts in `scores.json` come from `craft-ray evaluate concepts --write-counts`, with and without `--names-alone`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.chain import MATCHES

FILE = Path(__file__).parent / "scores.json"

SMOOTHING = 4
"""Weight, in mentions, of a step's average over all ontologies."""

Counts = Mapping[str, Mapping[str, Sequence[int]]]
"""By prefix and step, the mentions that were right and all mentions. `step ?` counts those with ties."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Share of right ids, (prefixes, steps, 2); the last index is 1 for ties."""

    share: NDArray[np.float32]

    def look_up(
        self, prefix: NDArray[np.integer], match: NDArray[np.integer], is_tied: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """(ids,) scores; prefix and match are indices in the lexicon's prefixes and in MATCHES."""
        result: NDArray[np.float32] = self.share[prefix, match, is_tied.astype(np.int64)]
        return result


def scores_from_counts(prefixes: Sequence[str], counts: Counts) -> Scores:
    share = np.zeros((len(prefixes), len(MATCHES), 2), np.float32)
    for step, name in enumerate(MATCHES):
        for is_tied, key in enumerate((name, f"{name} ?")):
            found = [steps[key] for steps in counts.values() if key in steps]
            average = (sum(right for right, _ in found) + 1) / (sum(total for _, total in found) + 2)
            for number, prefix in enumerate(prefixes):
                right, total = counts.get(prefix, {}).get(key, (0, 0))
                share[number, step, is_tied] = (right + SMOOTHING * average) / (total + SMOOTHING)
    return Scores(share)


def shipped_scores(prefixes: Sequence[str], has_corpus: bool) -> Scores:
    """Scores measured for lexicons with, or without, the strings of a corpus."""
    return scores_from_counts(prefixes, json.loads(FILE.read_text())["with corpus" if has_corpus else "names alone"])
