"""Confidence of concept ids: how often each step was right.

It was measured on CRAFT articles that the lexicon had not seen, and on other corpora. The lowest share counts, so that
a high score holds in each kind of text.

The counts in `scores.json` come from `craft-ray evaluate concepts --write-counts`, with and without `--names-alone`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.chain import MATCHES

FILE = Path(__file__).parent / "scores.json"

SMOOTHING = 4
"""Weight, in mentions, of what is known of a step elsewhere, where a corpus has few."""

Counts = Mapping[str, Mapping[str, Sequence[int]]]
"""By prefix and key of a step, the mentions that were right and all mentions."""

LENGTHS = (" of 3", " of 6", "")
"""How the length of a mention is spelt in a key: up to 3 characters, up to 6, and more."""


def length_class(characters: NDArray[np.integer] | int) -> Any:
    """Index in LENGTHS."""
    return np.searchsorted([3, 6], characters)


def step_key(match: str, length: int, is_tied: bool) -> str:
    """Key of a step in Counts.

    >>> step_key("related", length_class(2), True), step_key("name", length_class(8), False)
    ('related of 3 ?', 'name')
    """
    return match + LENGTHS[length] + (" ?" if is_tied else "")


def scores_from_counts(
    prefixes: Sequence[str], craft: Counts, others: Mapping[str, Counts] = MappingProxyType({})
) -> NDArray[np.float32]:
    """Shares of right ids, (prefixes, steps, lengths, 2); the last index is 1 for ties, and steps are MATCHES.

    The lowest share counts: that in CRAFT, in all other corpora, and in each of them, if they have mentions.
    """
    steps = [(match, length, tied) for match in MATCHES for length in range(len(LENGTHS)) for tied in (False, True)]
    keys = [step_key(*step) for step in steps]

    def counted(of: Counts, prefixes: Sequence[str] = prefixes) -> NDArray[np.int64]:
        pairs = [of.get(prefix, {}).get(key, (0, 0)) for prefix in prefixes for key in keys]
        return np.array(pairs, np.int64).reshape(len(prefixes), len(keys), 2)

    right, total = counted(craft, tuple(craft)).sum(0).T
    own = counted(craft)
    lowest = in_craft = _smoothed(own, (right + 1) / (total + 2))
    if others:
        each = np.array([counted(of) for of in others.values()])
        elsewhere = _smoothed(each.sum(0), in_craft)
        lowest = np.minimum(elsewhere, _smoothed(each, elsewhere).min(0))
        lowest = np.where(own[..., 1] > 0, np.minimum(in_craft, lowest), lowest)
    return lowest.astype(np.float32).reshape(len(prefixes), len(MATCHES), len(LENGTHS), 2)


def _smoothed(counts: NDArray[np.integer], average: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of right ids where the last axis of `counts` has the mentions that were right, and all."""
    share: NDArray[np.float64] = (counts[..., 0] + SMOOTHING * average) / (counts[..., 1] + SMOOTHING)
    return share


def shipped_scores(prefixes: Sequence[str], has_corpus: bool) -> NDArray[np.float32]:
    """Scores measured for lexicons with, or without, the strings of a corpus."""
    counts = json.loads(FILE.read_text())["with corpus" if has_corpus else "names alone"]
    return scores_from_counts(prefixes, counts["CRAFT"], counts["others"])
