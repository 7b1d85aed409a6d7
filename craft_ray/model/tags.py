"""Mentions in sequences of tags, as columns.

Found as `seqeval` finds them in its default (lenient, CoNLL) mode (https://github.com/chakki-works/seqeval), and as
`transformers` groups them: an `I-` tag that continues nothing begins a mention.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.labels import TagSet

DOCSTART = "-DOCSTART-"
"""The word of a line that begins a document."""


@dataclass(frozen=True, slots=True)
class Spans:
    """Mentions as columns: words `first` to `last` (inclusive) carry label number `label` of a TagSet."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    label: NDArray[np.int8]

    def rows(self) -> NDArray[np.int64]:
        """(mentions, 3): first word, last word, label; one row per mention."""
        return np.column_stack([self.first, self.last, self.label.astype(np.int64)])


def iob_to_spans(tag_ids: NDArray[np.integer], sentence: NDArray[np.integer], tags: TagSet) -> Spans:
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


@dataclass(frozen=True, slots=True)
class Mention:
    """A gold mention of one piece: `text[start:end]`, in code points."""

    start: int
    end: int
    label: str


def tag_words(
    start: NDArray[np.integer], end: NDArray[np.integer], sentence: NDArray[np.integer], mentions: Sequence[Mention]
) -> list[str]:
    """IOB2 tags of a document's words from its mentions, laid as `align_mentions` does.

    start, end, sentence: (words,) code point offsets in the document and the number of the word's sentence
    """
    return spans_to_iob(align_mentions(start, end, mentions), sentence)


def align_mentions(
    start: NDArray[np.integer], end: NDArray[np.integer], mentions: Sequence[Mention]
) -> list[tuple[int, int, str]]:
    """First word, end and label of each mention that words can show.

    A word belongs to a mention that it overlaps. Of mentions that overlap each other the longest counts, of equal ones
    the first.

    start, end: (words,) code point offsets in the document
    """
    laid = []
    taken = np.zeros(len(start), np.bool_)
    for mention in sorted(mentions, key=lambda m: (m.start - m.end, m.start, m.label)):
        first = int(np.searchsorted(end, mention.start, side="right"))
        to = int(np.searchsorted(start, mention.end, side="left"))
        if first < to and not taken[first:to].any():
            taken[first:to] = True
            laid.append((first, to, mention.label))
    return laid


def spans_to_iob(laid: Sequence[tuple[int, int, str]], sentence: NDArray[np.integer]) -> list[str]:
    """IOB2 tags of words; what crosses a sentence's end goes on as a mention of its own.

    laid:     as `align_mentions` gives it
    sentence: (words,) the number of the word's sentence
    """
    tags = ["O"] * len(sentence)
    for first, to, label in laid:
        for word in range(first, to):
            goes_on = word > first and sentence[word] == sentence[word - 1]
            tags[word] = f"{'I' if goes_on else 'B'}-{label}"
    return tags
