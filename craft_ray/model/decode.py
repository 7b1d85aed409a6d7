"""Predictions for units to entities with offsets, for a whole block."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.schema import ENTITIES
from craft_ray.model.calibration import IDENTITY, calibrated
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.refinement import MAX_WORDS, Scored, Words, refine
from craft_ray.model.tags import Predictions, TagSet, find_mentions


@dataclass(frozen=True, slots=True)
class Decoder:
    """What `decode` needs of a checkpoint.

    refine:    turns `refinement` on
    cut_words: whether the model labels pieces, so that names may be cut off words
    chosen:    labels to keep; empty for all
    """

    tags: TagSet
    calibration: tuple[float, float] = IDENTITY
    refine: bool = False
    cut_words: bool = False
    chosen: frozenset[str] = frozenset()

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Decoder":
        return cls(
            checkpoint.tags,
            checkpoint.calibration,
            checkpoint.refine_mentions,
            checkpoint.label_pieces,
            checkpoint.chosen,
        )


def decode(block: pa.Table, decoder: Decoder) -> tuple[pa.Table, NDArray[np.int64]]:
    """Entities of a block of tokenized documents with predictions, and the number of entities of each row.

    The entities have the columns of ENTITIES without `run_id` and `block_id`, plus `row`, the index of the document in
    the block. They are ordered by document and offset; those of different groups of labels may overlap. Their score is
    the mean over their units, calibrated.
    """
    units = _Lists(block["unit_start"])
    sentences = _Lists(block["sentence_start"])
    predicted = _Lists(block["predicted_unit"])
    unit_row = units.rows()
    unit_end = _flat(block["unit_end"])
    sentence = _flat(block["unit_sentence"]) + sentences.starts[unit_row]
    inner = _flat(block["unit_inner"])
    tags = decoder.tags
    predictions = Predictions(
        (predicted.values + units.starts[predicted.rows()]).astype(np.int32),
        _flat(block["label_ids"]),
        _flat(block["scores"]),
    )
    spans, raw = find_mentions(predictions, sentence, inner, tags)
    row, label = unit_row[spans.first], spans.label
    start, end = units.values[spans.first], unit_end[spans.last]
    if decoder.refine:
        rows = np.column_stack([row, start, end, label])
        document = _Documents(block["text"], units, unit_end, sentence, inner)
        row, start, end, label, raw = _refine(document, rows, spans.first, raw, decoder)
    kept = start < end  # byte-level tokenizers have pieces without text
    if decoder.chosen:
        kept &= np.isin(label, [number for number, name in enumerate(tags.names) if name in decoder.chosen])
    if not kept.all():
        row, start, end, label, raw = row[kept], start[kept], end[kept], label[kept], raw[kept]
    names, ontologies = np.array(tags.names, object)[label], np.array(tags.ontologies, object)[label]
    entities = entity_table(block, row, start, end, names, calibrated(raw, decoder.calibration), ontologies)
    return entities, np.bincount(row, minlength=block.num_rows)


def entity_table(
    block: pa.Table,
    row: NDArray[np.int64],
    start: NDArray[np.int32],
    end: NDArray[np.int32],
    label: NDArray[np.object_],
    score: NDArray[np.float32],
    ontology: NDArray[np.object_],
) -> pa.Table:
    """The table that `decode` returns, for mentions (mentions,) that begin within sentences."""
    sentences = _Lists(block["sentence_start"])
    # One sorted key for all sentences of the block: the row in the high bits, the offset in the low ones.
    sentence_key = (sentences.rows() << 32) | sentences.values
    own_sentence = np.searchsorted(sentence_key, (row << 32) | start, side="right") - 1
    entities = {
        "doc_id": block["doc_id"].combine_chunks().take(pa.array(row)),
        "section": _sections(block["sections"], row, start),
        "start": start,
        "end": end,
        "label": label,
        "mention": _mentions(block["text"], row, start, end),
        "score": score,
        "ontology": ontology,
        "sentence_start": sentences.values[own_sentence],
        "sentence_end": _flat(block["sentence_end"])[own_sentence],
    }
    table = pa.table({name: pa.array(values, ENTITIES.field(name).type) for name, values in entities.items()})
    return table.append_column("row", pa.array(row, pa.int64()))


@dataclass(frozen=True, slots=True)
class _Documents:
    """The texts of a block and their units, as flat columns over all of them."""

    texts: pa.ChunkedArray
    units: "_Lists"
    unit_end: NDArray[np.int32]
    sentence: NDArray[np.int64]
    inner: NDArray[np.bool_]

    def words(self, text: str, first: int, to: int) -> Words:
        """The words of the units from `first` to `to`. The first unit begins one, even within a word."""
        begins = np.append(first, np.flatnonzero(~self.inner[first + 1 : to]) + first + 1)
        ends = np.append(begins[1:], to) - 1
        columns = self.units.values[begins], self.unit_end[ends], self.sentence[begins]
        return Words(text, *(column.tolist() for column in columns))


def _refine(
    documents: _Documents,
    mentions: NDArray[np.int64],
    first: NDArray[np.int64],
    score: NDArray[np.float32],
    decoder: Decoder,
) -> tuple[NDArray[Any], ...]:
    """Refine the mentions of each document, or part of a long one, and of each group of labels on their own.

    Of mentions at the same offsets, the one with the best score is kept: in CRAFT, 49 of 59,173 spans have two labels.

    mentions: (mentions, 4): row, start, end and label; first: their first units

    Returns row, start, end, label and score, sorted.
    """
    tags, texts, units = decoder.tags, documents.texts.combine_chunks(), documents.units
    group = np.zeros(len(tags.names), np.int64)
    has_label = tags.label >= 0
    group[tags.label[has_label]] = np.flatnonzero(has_label) // (len(tags.label) // tags.groups)
    refined: list[tuple[int, Scored]] = []
    for row, (begin, count) in enumerate(zip(units.starts.tolist(), units.lengths.tolist(), strict=True)):
        for unit, to in _parts(documents.sentence, begin, begin + count):
            own = slice(*np.searchsorted(first, [unit, to]))
            if own.start == own.stop:
                continue
            words = documents.words(texts[row].as_py(), unit, to)
            _, start, end, label = mentions[own].T
            by_group: dict[int, list[Scored]] = {}
            columns = group[label], start, np.minimum(end, words.end[-1]), label, score[own]
            for number, *values in zip(*(column.tolist() for column in columns), strict=True):
                by_group.setdefault(number, []).append(Scored(*values))
            for found in by_group.values():
                refined += [(row, mention) for mention in refine(words, found, decoder.cut_words)]
    result = np.array([(row, m.start, m.end, m.label) for row, m in refined], np.int64).reshape(-1, 4)
    scores = np.array([m.score for _, m in refined], np.float32)
    order = np.lexsort((result[:, 3], -scores, *result[:, 2::-1].T))
    result, scores = result[order], scores[order]
    best = np.ones(len(order), np.bool_)
    best[1:] = (result[1:, :3] != result[:-1, :3]).any(axis=1)
    row, start, end, label = result[best].T
    return row, start, end, label.astype(np.int8), scores[best]


def _parts(sentence: NDArray[np.int64], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Split a range of units into parts of at most MAX_WORDS, at the ends of sentences where possible."""
    while begin < end:
        to = min(begin + MAX_WORDS, end)
        if to < end:
            sentence_begin = int(np.searchsorted(sentence, sentence[to]))
            to = sentence_begin if sentence_begin > begin else to
        yield begin, to
        begin = to


class _Lists:
    """A list column as flat values, with the length of each row and the index of its first value."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self.lengths: NDArray[np.int64] = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        self.values = _flat(column)
        self.starts = np.cumsum(self.lengths) - self.lengths

    def rows(self) -> NDArray[np.int64]:
        """The row of each value."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def _flat(column: pa.ChunkedArray) -> NDArray[Any]:
    array: NDArray[Any] = pc.list_flatten(column).to_numpy()
    return array


def _sections(column: pa.ChunkedArray, row: NDArray[np.int64], start: NDArray[np.int32]) -> list[str | None]:
    """The name of the section that contains each offset."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    flat = pc.list_flatten(column).combine_chunks()
    section_start = flat.field("start").to_numpy(zero_copy_only=False).astype(np.int64)
    # One sorted key for all sections of the block: the row in the high bits, the offset in the low ones.
    keys = (np.repeat(np.arange(len(lengths)), lengths) << 32) | section_start
    found = np.searchsorted(keys, (row << 32) | start.astype(np.int64), side="right") - 1
    result: list[str | None] = flat.field("name").take(pa.array(found)).to_pylist()
    return result


def _mentions(
    column: pa.ChunkedArray, row: NDArray[np.int64], start: NDArray[np.int32], end: NDArray[np.int32]
) -> list[str]:
    mentions: list[str] = []
    texts = column.combine_chunks()
    current, text = -1, ""
    for r, a, b in zip(row.tolist(), start.tolist(), end.tolist(), strict=True):
        if r != current:
            current, text = r, texts[r].as_py()
        mentions.append(text[a:b])
    return mentions
