"""Hashes of the mentions that a training corpus contains, so that an evaluation can separate seen from unseen ones.

A checkpoint stores these keys (`seen_mentions.npy`), not the text of its corpus.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.hashing import hash64
from craft_ray.training.corpora import Sentence


def mention_keys(mentions: Iterable[tuple[str, str]]) -> NDArray[np.int64]:
    """The key of each mention, given as label and text. White space in the text is ignored."""
    return np.array([hash64(f"{label} {''.join(text.split())}".encode()) for label, text in mentions], np.int64)


def corpus_keys(sentences: Iterable[Sentence]) -> NDArray[np.int64]:
    """The sorted keys of all mentions of a corpus."""
    return np.unique(mention_keys((m.label, s.text[m.start : m.end]) for s in sentences for m in s.mentions))
