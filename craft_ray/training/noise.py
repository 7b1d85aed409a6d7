"""Noise in training sentences: other dashes, Greek letters spelled out or not, another case."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from craft_ray.training.corpora import Sentence
from craft_ray.training.overlap import GREEK

DASHES = ("-", "–", "−", "‐", "‑")
"""Hyphen-minus, en dash, minus sign, hyphen, non-breaking hyphen."""

_SPELLED = {name: letter for letter, name in GREEK.items() if name in ("alpha", "beta", "gamma", "delta", "kappa")}

_DASH = re.compile(f"[{''.join(DASHES)}]")
_LETTER = re.compile(f"[{''.join(GREEK)}]")
_NAME_OF_LETTER = re.compile(rf"(?i:{'|'.join(_SPELLED)})(?![a-z])")
"""A spelled-out letter that no other letter follows: in `PGC1alpha`, but not in `alphabet`."""
_WORD = re.compile(r"\w+")


def add_noise(sentences: Sequence[Sentence], share: float, seed: int) -> list[Sentence]:
    """Change a random share of the sentences, each in one way. Mentions stay.

    The ways are: another kind of dash, Greek letters spelled out, spelled-out letters as Greek ones, all capitals, and
    words without their initial capital.
    """
    generator = np.random.default_rng(seed)
    result = []
    for sentence in sentences:
        if generator.random() < share:
            dash = DASHES[int(generator.integers(1, len(DASHES)))]
            pattern, change = CHANGES[int(generator.choice(len(CHANGES), p=PROBABILITIES))]
            parts = [
                (found.start(), found.end(), change(found[0]) if pattern is not _DASH else dash)
                for found in pattern.finditer(sentence.text)
            ]
            sentence = sentence.replaced(parts)
        result.append(sentence)
    return result


def _uncapitalized(word: str) -> str:
    """Lower-case a capitalized word; names with digits or several capitals stay."""
    return word.lower() if word.istitle() and word.isalpha() else word


CHANGES: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (_DASH, str),  # replaced by the sentence's own kind of dash
    (_LETTER, GREEK.__getitem__),
    (_NAME_OF_LETTER, lambda name: _SPELLED[name.lower()]),
    (re.compile("."), str.upper),
    (_WORD, _uncapitalized),
)
PROBABILITIES = (0.35, 0.2, 0.25, 0.1, 0.1)
"""How often each of CHANGES is chosen."""
