"""Noise in training sentences: other dashes, Greek letters spelled out or not, another case."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from craft_ray.training.corpora import TaggedSentence
from craft_ray.training.overlap import GREEK

DASHES = ("-", "–", "−", "‐", "‑")
"""Hyphen-minus, en dash, minus sign, hyphen, non-breaking hyphen."""

_SPELLED = {name: letter for letter, name in GREEK.items() if name in ("alpha", "beta", "gamma", "delta", "kappa")}
_SPELLED_PART = re.compile(rf"(?i:{'|'.join(_SPELLED)})(?![a-z])")
"""A spelled-out letter that no other letter follows: in `PGC1alpha`, but not in `alphabet`."""


def add_noise(sentences: Sequence[TaggedSentence], share: float, seed: int) -> list[TaggedSentence]:
    """Change a random share of the sentences, each in one way. The number of words and the tags stay.

    The ways are: another kind of dash, Greek letters spelled out, spelled-out letters as Greek ones, all capitals, and
    words without their initial capital.
    """
    generator = np.random.default_rng(seed)
    result = []
    for sentence in sentences:
        if generator.random() < share:
            dash = DASHES[int(generator.integers(1, len(DASHES)))]
            change = CHANGES[int(generator.choice(len(CHANGES), p=PROBABILITIES))]
            words = [dash if change is _dash and word in DASHES else change(word) for word in sentence.words]
            sentence = TaggedSentence(words, sentence.tags)
        result.append(sentence)
    return result


def _dash(word: str) -> str:
    return word  # `add_noise` replaces the dashes themselves


def _spell_out(word: str) -> str:
    return "".join(GREEK.get(letter, letter) for letter in word)


def _as_letters(word: str) -> str:
    return _SPELLED_PART.sub(lambda match: _SPELLED[match[0].lower()], word)


def _uncapitalized(word: str) -> str:
    """Lower-case a capitalized word; names with digits or several capitals stay."""
    return word.lower() if word.istitle() and word.isalpha() else word


CHANGES: tuple[Callable[[str], str], ...] = (_dash, _spell_out, _as_letters, str.upper, _uncapitalized)
PROBABILITIES = (0.35, 0.2, 0.25, 0.1, 0.1)
"""How often each of CHANGES is chosen."""
