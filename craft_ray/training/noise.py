"""Sentences as real text writes them: other dashes, Greek letters spelled out or not, another case; pure."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from craft_ray.training.corpora import GREEK, TaggedSentence

DASHES = ("-", "–", "−", "‐", "‑")
"""Hyphen-minus, en dash, minus sign, hyphen, and the hyphen that does not break."""

_SPELLED = {name: letter for letter, name in GREEK.items() if name in ("alpha", "beta", "gamma", "delta", "kappa")}
_SPELLED_PART = re.compile(rf"(?i:{'|'.join(_SPELLED)})(?![a-z])")
"""Names of letters at the end of a word or before what is no letter: `PGC1alpha`, and no part of `alphabet`."""


def add_noise(sentences: Sequence[TaggedSentence], share: float, seed: int) -> list[TaggedSentence]:
    """Write a share of the sentences in another way, the same seed in the same; their words stay as many.

    Of the sentences that change, each has one of: dashes of another kind, Greek letters spelled out, spelled ones as
    letters, capitals throughout, or small letters at its words' beginnings.
    """
    generator = np.random.default_rng(seed)
    result = []
    for sentence in sentences:
        if generator.random() < share:
            dash = DASHES[int(generator.integers(1, len(DASHES)))]
            way = WAYS[int(generator.choice(len(WAYS), p=OFTEN))]
            words = [dash if way is _dash and word in DASHES else way(word) for word in sentence.words]
            sentence = TaggedSentence(words, sentence.tags)
        result.append(sentence)
    return result


def _spell_out(word: str) -> str:
    return "".join(GREEK.get(letter, letter) for letter in word)


def _as_letters(word: str) -> str:
    return _SPELLED_PART.sub(lambda match: _SPELLED[match[0].lower()], word)


def _uncapitalised(word: str) -> str:
    """A capitalised word as it stands within a sentence; names with digits or more capitals stay."""
    return word.lower() if word.istitle() and word.isalpha() else word


def _dash(word: str) -> str:
    """Words that are no dashes stay when those are changed."""
    return word


WAYS: tuple[Callable[[str], str], ...] = (_dash, _spell_out, _as_letters, str.upper, _uncapitalised)
OFTEN = (0.35, 0.2, 0.25, 0.1, 0.1)
"""How often each of WAYS is taken."""
