"""Confidence of concept ids: how often each step was right.

It was measured on CRAFT articles that the lexicon had not seen, and on other corpora. The lowest share counts, so that
a high score holds in each kind of text.

The counts in `scores.json` come from `craft-ray evaluate concepts --write-counts`, with and without `--names-alone`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
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

    The lowest share counts: that in CRAFT, in all other corpora, and in each of them that has mentions.
    """
    share = np.zeros((len(prefixes), len(MATCHES), len(LENGTHS), 2), np.float32)
    for step, length, is_tied in np.ndindex(share.shape[1:]):
        key = step_key(MATCHES[step], length, bool(is_tied))
        found = [steps[key] for steps in craft.values() if key in steps]
        average = (sum(right for right, _ in found) + 1) / (sum(total for _, total in found) + 2)
        for number, prefix in enumerate(prefixes):
            in_craft = _smoothed([craft], prefix, key, average)
            elsewhere = _smoothed(others.values(), prefix, key, in_craft)
            each = (_smoothed([counts], prefix, key, elsewhere) for counts in others.values())
            share[number, step, length, is_tied] = min(in_craft, elsewhere, *each)
    return share


def _smoothed(corpora: Iterable[Counts], prefix: str, key: str, average: float) -> float:
    found = [counts.get(prefix, {}).get(key, (0, 0)) for counts in corpora]
    right, total = sum(right for right, _ in found), sum(total for _, total in found)
    return (right + SMOOTHING * average) / (total + SMOOTHING)


def shipped_scores(prefixes: Sequence[str], has_corpus: bool) -> NDArray[np.float32]:
    """Scores measured for lexicons with, or without, the strings of a corpus."""
    counts = json.loads(FILE.read_text())["with corpus" if has_corpus else "names alone"]
    return scores_from_counts(prefixes, counts["CRAFT"], counts["others"])
