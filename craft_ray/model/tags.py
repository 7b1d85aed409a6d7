"""IOB tags, and the mentions in sequences of them as columns.

Mentions are found as by `seqeval` in its default (lenient, CoNLL) mode (https://github.com/chakki-works/seqeval) and as
by `transformers`: an `I-` tag that continues no mention begins one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import ONTOLOGY, TAGS, canonical_tags, is_craft, label_of

DOCSTART = "-DOCSTART-"
"""The word of a line that begins a document in CoNLL files."""


@dataclass(frozen=True, slots=True)
class TagSet:
    """The meaning of a checkpoint's label ids.

    names:      labels without prefix
    label:      (label ids,) index into `names`, -1 for `O`
    begins:     (label ids,) true for `B-` tags
    ontologies: one for each name; None if unknown
    """

    names: tuple[str, ...]
    label: NDArray[np.int8]
    begins: NDArray[np.bool_]
    ontologies: tuple[str | None, ...]

    @classmethod
    def from_id2label(cls, id2label: Mapping[int, str], ontology: Mapping[str, str] | None = None) -> "TagSet":
        """Tags without a prefix (`Protein`) count as `I-` tags. CRAFT's labels have ontologies by default.

        ontology: of other labels

        Raises SettingsError if there is no label but `O`, or labels have no names, as in a checkpoint that was never
        fine-tuned.
        """
        if sorted(id2label) != list(range(len(id2label))) or len(id2label) > 127:
            raise SettingsError("the model's label ids do not run from 0 to at most 126")
        tags = canonical_tags([id2label[i] for i in range(len(id2label))])
        bodies = [label_of(tag) for tag in tags]
        if all(name.startswith("LABEL_") for name in bodies):
            raise SettingsError("the model's labels have no names (LABEL_0, ...): is it fine-tuned for entities?")
        names = tuple(dict.fromkeys(name for name in bodies if name != "O"))
        if not names:
            raise SettingsError("the model has no entity labels")
        return cls(
            names=names,
            label=np.array([-1 if name == "O" else names.index(name) for name in bodies], np.int8),
            begins=np.array([tag.startswith("B-") for tag in tags], np.bool_),
            ontologies=tuple(map(((ONTOLOGY if is_craft(names) else {}) | dict(ontology or {})).get, names)),
        )


TAG_SET = TagSet.from_id2label(dict(enumerate(TAGS)))


@dataclass(frozen=True, slots=True)
class Spans:
    """Mentions as columns: words `first` to `last` (inclusive), with `label` as an index into `TagSet.names`."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    label: NDArray[np.int8]

    def rows(self) -> NDArray[np.int64]:
        """(mentions, 3): first word, last word, label."""
        return np.column_stack([self.first, self.last, self.label.astype(np.int64)])


def iob_to_spans(tag_ids: NDArray[np.integer], sentence: NDArray[np.integer], tags: TagSet) -> Spans:
    """Mentions in the tags of words. No mention crosses a sentence.

    tag_ids, sentence: (words,) label id and sentence number
    """
    label = tags.label[tag_ids]
    before = np.concatenate([[-1], label[:-1]]) if len(label) else label
    new_sentence = np.ones(len(label), np.bool_)
    new_sentence[1:] = sentence[1:] != sentence[:-1]
    begins = (label >= 0) & (tags.begins[tag_ids] | (label != before) | new_sentence)
    first = np.flatnonzero(begins)
    # A mention ends where the next word begins another one, is outside, or does not exist.
    continues = np.zeros(len(label), np.bool_)
    continues[:-1] = (label[1:] >= 0) & ~begins[1:]
    last = np.flatnonzero((label >= 0) & ~continues)
    return Spans(first, last, label[first])


@dataclass(frozen=True, slots=True)
class Mention:
    """A contiguous gold mention: `text[start:end]`, in code points."""

    start: int
    end: int
    label: str


def tag_words(
    start: NDArray[np.integer], end: NDArray[np.integer], sentence: NDArray[np.integer], mentions: Sequence[Mention]
) -> list[str]:
    """IOB2 tags of the words of a document.

    start, end, sentence: (words,) code point offsets and sentence number
    """
    return spans_to_iob(align_mentions(start, end, mentions), sentence)


def align_mentions(
    start: NDArray[np.integer], end: NDArray[np.integer], mentions: Sequence[Mention]
) -> list[tuple[int, int, str]]:
    """First word, end (exclusive) and label of each mention, which covers all words that it overlaps.

    Of overlapping mentions the longest is kept, of equally long ones the first. Mentions without a word are dropped.

    start, end: (words,) code point offsets
    """
    aligned = []
    taken = np.zeros(len(start), np.bool_)
    for mention in sorted(mentions, key=lambda m: (m.start - m.end, m.start, m.label)):
        first = int(np.searchsorted(end, mention.start, side="right"))
        to = int(np.searchsorted(start, mention.end, side="left"))
        if first < to and not taken[first:to].any():
            taken[first:to] = True
            aligned.append((first, to, mention.label))
    return aligned


def spans_to_iob(aligned: Sequence[tuple[int, int, str]], sentence: NDArray[np.integer]) -> list[str]:
    """IOB2 tags of words. A mention that crosses a sentence boundary continues as a mention of its own.

    aligned:  result of `align_mentions`
    sentence: (words,) sentence number
    """
    tags = ["O"] * len(sentence)
    for first, to, label in aligned:
        for word in range(first, to):
            inside = word > first and sentence[word] == sentence[word - 1]
            tags[word] = f"{'I' if inside else 'B'}-{label}"
    return tags
