"""Confidence of concept ids: how often each step was right.

It was measured on CRAFT articles that the lexicon had not seen, and on other corpora. The lowest share counts, so that
a high score holds in each kind of text.

The counts in `scores.json` come from `craft-ray evaluate concepts --write-counts`, with and without `--names-alone`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.chain import MATCHES

FILE = Path(__file__).parent / "scores.json"

SMOOTHING = 4
"""Weight, in mentions, of what is known of a step elsewhere, where a corpus has few."""

Counts = Mapping[str, Mapping[str, Sequence[int]]]
"""By prefix and key of a step, the mentions that were right and all mentions."""

LENGTHS = ((3, " of 3"), (6, " of 6"), (10**9, ""))
"""Characters of a mention at most, and how its length is spelt in a key."""


def length_class(mention: str) -> int:
    """Index in LENGTHS."""
    return sum(len(mention) > longest for longest, _ in LENGTHS)


def step_key(match: str, length: int, is_tied: bool) -> str:
    """Key of a step in Counts.

    >>> step_key("related", length_class("E2"), True), step_key("name", length_class("thrombin"), False)
    ('related of 3 ?', 'name')
    """
    return match + LENGTHS[length][1] + (" ?" if is_tied else "")


@dataclass(frozen=True, slots=True)
class Scores:
    """Share of right ids, (prefixes, steps, lengths, 2); the last index is 1 for ties."""

    share: NDArray[np.float32]

    def look_up(
        self,
        prefix: NDArray[np.integer],
        match: NDArray[np.integer],
        length: NDArray[np.integer],
        is_tied: NDArray[np.bool_],
    ) -> NDArray[np.float32]:
        """(ids,) scores; prefix, match and length are indices in the lexicon's prefixes, MATCHES and LENGTHS."""
        result: NDArray[np.float32] = self.share[prefix, match, length, is_tied.astype(np.int64)]
        return result


def scores_from_counts(
    prefixes: Sequence[str], craft: Counts, others: Mapping[str, Counts] = MappingProxyType({})
) -> Scores:
    """Scores by the lowest share: that in CRAFT, in all other corpora, and in each of them that has mentions."""
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
    return Scores(share)


def _smoothed(corpora: Iterable[Counts], prefix: str, key: str, average: float) -> float:
    found = [counts.get(prefix, {}).get(key, (0, 0)) for counts in corpora]
    right, total = sum(right for right, _ in found), sum(total for _, total in found)
    return (right + SMOOTHING * average) / (total + SMOOTHING)


def shipped_scores(prefixes: Sequence[str], has_corpus: bool) -> Scores:
    """Scores measured for lexicons with, or without, the strings of a corpus."""
    counts = json.loads(FILE.read_text())["with corpus" if has_corpus else "names alone"]
    return scores_from_counts(prefixes, counts["CRAFT"], counts["others"])
