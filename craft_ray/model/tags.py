"""A model's tags, and mentions in sequences of them, as columns.

Mentions are found as `seqeval` finds them in its default (lenient, CoNLL) mode
(https://github.com/chakki-works/seqeval), and as `transformers` groups them: an `I-` tag that continues nothing begins
a mention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import ONTOLOGY, TAGS, canonical_tags, is_craft, label_of

DOCSTART = "-DOCSTART-"
"""The word of a line that begins a document."""


@dataclass(frozen=True, slots=True)
class TagSet:
    """The meaning of a checkpoint's label ids, as arrays indexed by label id, so that decoding stays in columns.

    `names` are the labels; `label[id]` is an index into them or -1 for `O`; `begins[id]` is true for a `B-` tag.
    `ontologies` are those of the labels, None where none is known.
    """

    names: tuple[str, ...]
    label: NDArray[np.int8]
    begins: NDArray[np.bool_]
    ontologies: tuple[str | None, ...]

    @classmethod
    def from_id2label(cls, id2label: Mapping[int, str]) -> "TagSet":
        """Read a checkpoint's `id2label`; tags without a prefix (`Protein`) count as inside tags.

        Raises SettingsError if there are none but `O`, as in a checkpoint that was never fine-tuned.
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
            ontologies=tuple(ONTOLOGY[name] if is_craft(names) else None for name in names),
        )

    def with_ontologies(self, ontology: Mapping[str, str]) -> "TagSet":
        """The same, with the ontologies of some labels."""
        found = tuple(ontology.get(name, known) for name, known in zip(self.names, self.ontologies, strict=True))
        return replace(self, ontologies=found)


TAG_SET = TagSet.from_id2label(dict(enumerate(TAGS)))


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
