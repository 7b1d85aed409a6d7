"""Mentions in sequences of tags, as columns.

Found as `seqeval` finds them in its default (lenient, CoNLL) mode (https://github.com/chakki-works/seqeval), and as
`transformers` groups them: an `I-` tag that continues nothing begins a mention.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.labels import TagSet


@dataclass(frozen=True, slots=True)
class Spans:
    """Mentions as columns: words `first` to `last` (inclusive) carry label number `label` of a TagSet."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    label: NDArray[np.int8]

    def rows(self) -> NDArray[np.int64]:
        """(mentions, 3): first word, last word, label; one row a mention."""
        return np.column_stack([self.first, self.last, self.label.astype(np.int64)])


def find_spans(tag_ids: NDArray[np.integer], sentence: NDArray[np.integer], tags: TagSet) -> Spans:
    """The mentions in words' tags; `sentence` holds each word's sentence number, which no mention crosses.

    tag_ids, sentence: (words,)
    """
    label = tags.label[tag_ids]
    before = np.concatenate([[-1], label[:-1]]) if len(label) else label
    new_sentence = np.ones(len(label), np.bool_)
    new_sentence[1:] = sentence[1:] != sentence[:-1]
    begins = (label >= 0) & (tags.begins[tag_ids] | (label != before) | new_sentence)
    first = np.flatnonzero(begins)
    # A mention ends where the next word begins another, is outside, or does not exist.
    goes_on = np.zeros(len(label), np.bool_)
    goes_on[:-1] = (label[1:] >= 0) & ~begins[1:]
    last = np.flatnonzero((label >= 0) & ~goes_on)
    return Spans(first, last, label[first])
