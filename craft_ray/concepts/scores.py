"""How sure an id is: how often its step was right on CRAFT's articles, each asked of a lexicon that had not seen it.

`scores.json` beside this file holds the counts, as `craft-ray evaluate concepts --write-counts` gives them with the
strings of a corpus, and with `--names-alone`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.chain import MATCHES

FILE = Path(__file__).parent / "scores.json"

SMOOTHING = 4
"""Mentions that the average over all ontologies counts for beside an ontology's own."""

Counts = Mapping[str, Mapping[str, Sequence[int]]]
"""By prefix and step, the mentions that were right, and all; `step ?` where several concepts matched equally well."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The share of right ids, (prefixes + 1, steps, 2): the last axis tells whether the match was ambiguous."""

    share: NDArray[np.float32]

    def of(
        self, prefix: NDArray[np.integer], match: NDArray[np.integer], ambiguous: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """The score of each id, (ids,); prefix and match are numbers, in the lexicon's prefixes and in MATCHES."""
        result: NDArray[np.float32] = self.share[prefix, match, ambiguous.astype(np.int64)]
        return result


def scores_from_counts(prefixes: Sequence[str], counts: Counts) -> Scores:
    """The scores of some prefixes; a step is as sure as its average where a prefix has few mentions of it."""
    share = np.zeros((len(prefixes), len(MATCHES), 2), np.float32)
    for step, name in enumerate(MATCHES):
        for ambiguous, key in enumerate((name, f"{name} ?")):
            found = [steps[key] for steps in counts.values() if key in steps]
            average = (sum(right for right, _ in found) + 1) / (sum(asked for _, asked in found) + 2)
            for number, prefix in enumerate(prefixes):
                right, asked = counts.get(prefix, {}).get(key, (0, 0))
                share[number, step, ambiguous] = (right + SMOOTHING * average) / (asked + SMOOTHING)
    return Scores(share)


def shipped_scores(prefixes: Sequence[str], has_corpus: bool) -> Scores:
    """The scores that were measured for lexicons with, or without, the strings of a corpus."""
    known: dict[str, Any] = json.loads(FILE.read_text())
    return scores_from_counts(prefixes, known["with corpus" if has_corpus else "names alone"])
