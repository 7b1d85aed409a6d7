"""IOB tags, and the mentions in a model's predictions of them as columns.

Mentions are found as by `seqeval` in its default (lenient, CoNLL) mode (https://github.com/chakki-works/seqeval) and as
by `transformers`: an `I-` tag that continues no mention begins one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import ONTOLOGY, as_iob2, canonical_tags, is_craft, label_of

DOCSTART = "-DOCSTART-"
"""The word of a line that begins a document in CoNLL files."""

SURE = 0.99
"""Probability from which a word piece may have another tag than the piece before it in the same word."""


@dataclass(frozen=True, slots=True)
class TagSet:
    """The meaning of a checkpoint's label ids.

    Label ids form groups, of which each has one tag per unit: a group begins at each `O` if the first label id is one.
    So a checkpoint of `O`, `B-Cell`, `I-Cell`, `O`, `B-Taxon`, `I-Taxon` finds cells and taxa independently, and their
    mentions may overlap. In any other checkpoint all label ids are one group.

    names:      labels without prefix
    label:      (label ids,) index into `names`, -1 for `O`
    begins:     (label ids,) true for `B-` tags
    ontologies: one for each name; None if unknown
    groups:     number of groups, which have equally many label ids
    """

    names: tuple[str, ...]
    label: NDArray[np.int8]
    begins: NDArray[np.bool_]
    ontologies: tuple[str | None, ...]
    groups: int = 1

    @classmethod
    def from_id2label(cls, id2label: Mapping[int, str], ontology: Mapping[str, str] | None = None) -> "TagSet":
        """Tags may be in any scheme of `as_iob2`. Those without a prefix (`Protein`) count as `I-` tags. CRAFT's labels
        have ontologies by default.

        ontology: of other labels

        Raises SettingsError if there is no label but `O`, groups differ in size, or labels have no names, as in a
        checkpoint that was never fine-tuned.
        """
        if sorted(id2label) != list(range(len(id2label))) or len(id2label) > 127:
            raise SettingsError("the model's label ids do not run from 0 to at most 126")
        tags = canonical_tags(as_iob2(id2label[i] for i in range(len(id2label))))
        bodies = [label_of(tag) for tag in tags]
        if all(name.startswith("LABEL_") for name in bodies):
            raise SettingsError(
                "the model's labels have no names (LABEL_0, ...): if it is fine-tuned for entities, write them into "
                'id2label of its config.json, as in {"0": "O", "1": "B-Disease", "2": "I-Disease"}'
            )
        names = tuple(dict.fromkeys(name for name in bodies if name != "O"))
        if not names:
            raise SettingsError("the model has no entity labels")
        begins = [i for i, tag in enumerate(tags) if tag == "O"] if tags[0] == "O" else [0]
        if set(np.diff([*begins, len(tags)])) != {len(tags) // len(begins)}:
            raise SettingsError("the model's groups of labels, of which each begins with O, differ in size")
        return cls(
            names=names,
            label=np.array([-1 if name == "O" else names.index(name) for name in bodies], np.int8),
            begins=np.array([tag.startswith("B-") for tag in tags], np.bool_),
            ontologies=tuple(map(((ONTOLOGY if is_craft(names) else {}) | dict(ontology or {})).get, names)),
            groups=len(begins),
        )


@dataclass(frozen=True, slots=True)
class Spans:
    """Mentions as columns: units `first` to `last` (inclusive), with `label` as an index into `TagSet.names`."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    label: NDArray[np.int8]

    def rows(self) -> NDArray[np.int64]:
        """(mentions, 3): first unit, last unit, label."""
        return np.column_stack([self.first, self.last, self.label.astype(np.int64)])

    def take(self, mask: NDArray[np.bool_]) -> "Spans":
        return Spans(self.first[mask], self.last[mask], self.label[mask])


@dataclass(frozen=True, slots=True)
class Predictions:
    """The best label id of units in each group of tags, sorted by unit and group.

    Most units are outside and are left out. Only a piece that continues a word is kept as `O` unless that is SURE,
    since `find_mentions` then gives it the tag of the piece before it.

    unit:     (predictions,) index of the unit, int32
    label_id: (predictions,) int8
    score:    (predictions,) its probability, float32
    """

    unit: NDArray[np.int32]
    label_id: NDArray[np.int8]
    score: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        label_id: NDArray[np.int8],
        score: NDArray[np.float32],
        outside: NDArray[np.bool_],
        inner: NDArray[np.bool_],
    ) -> "Predictions":
        """label_id, score: (units, groups); outside: (label ids,) true for `O`; inner: (units,) as in `Units`"""
        unit, group = np.nonzero(~outside[label_id] | (inner[:, None] & (score < SURE)))
        return cls(unit.astype(np.int32), label_id[unit, group], score[unit, group])


def find_mentions(
    predictions: Predictions, sentence: NDArray[np.integer], inner: NDArray[np.bool_], tags: TagSet
) -> tuple[Spans, NDArray[np.float32]]:
    """Mentions and their scores, the mean over their units, sorted by first unit, last unit and label.

    No mention crosses a sentence. Within a word, a piece has the tag of the piece before it unless the network is SURE
    of another: otherwise words would fall to pieces.

    sentence: (units,) sentence number
    inner:    (units,) true for pieces that continue a word
    """
    group_size = len(tags.label) // tags.groups
    order = np.lexsort((predictions.unit, predictions.label_id // group_size))
    unit, label_id, score = predictions.unit[order], predictions.label_id[order], predictions.score[order]
    group = label_id // group_size
    follows = np.zeros(len(unit), np.bool_)
    follows[1:] = (unit[1:] == unit[:-1] + 1) & (group[1:] == group[:-1]) & (sentence[unit[1:]] == sentence[unit[:-1]])

    decides = ~inner[unit] | (score >= SURE)
    source = np.maximum.accumulate(np.where(decides | ~follows, np.arange(len(unit)), 0))
    label = np.where(decides[source], tags.label[label_id[source]], np.int8(-1))
    score = np.where(tags.label[label_id] == label, score, 1 - score)
    begins = tags.begins[label_id] & decides

    kept = np.flatnonzero(label >= 0)
    unit, label, score, begins, group = unit[kept], label[kept], score[kept], begins[kept], group[kept]
    first = np.ones(len(kept), np.bool_)
    first[1:] = begins[1:] | (label[1:] != label[:-1]) | (np.diff(kept) != 1) | ~follows[kept[1:]]
    start = np.flatnonzero(first)
    stop = np.append(start[1:], len(kept))[: len(start)]
    means = np.add.reduceat(score.astype(np.float64), start) / (stop - start) if len(start) else np.empty(0)
    begin, last, label = unit[start].astype(np.int64), unit[stop - 1].astype(np.int64), label[start]
    order = np.lexsort((label, last, begin))
    return Spans(begin[order], last[order], label[order]), means[order].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Mention:
    """A contiguous gold mention: `text[start:end]`, in code points."""

    start: int
    end: int
    label: str


def align_mentions(
    start: NDArray[np.integer], end: NDArray[np.integer], mentions: Sequence[Mention]
) -> list[tuple[int, int, str]]:
    """First unit, end (exclusive) and label of each mention, which covers all units that it overlaps.

    Of overlapping mentions the longest is kept, of equally long ones the first. Mentions without a unit are dropped.

    start, end: (units,) code point offsets
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
