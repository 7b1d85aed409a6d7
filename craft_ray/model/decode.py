"""Predictions for units to entities with offsets, for a whole block."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.schema import ENTITIES
from craft_ray.model.calibration import IDENTITY, calibrated
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.refinement import Mentions, Words, refine
from craft_ray.model.tags import Predictions, Spans, TagSet, find_mentions

MAX_WORDS = 100_000
"""Units of a document that are refined together; a longer document is refined in parts."""


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
        row, start, end, label, raw = _refine(block["text"], units, unit_end, sentence, inner, spans, raw, decoder)
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


def _refine(
    texts: pa.ChunkedArray,
    units: "_Lists",
    unit_end: NDArray[np.int32],
    sentence: NDArray[np.int64],
    inner: NDArray[np.bool_],
    spans: Spans,
    score: NDArray[np.float32],
    decoder: Decoder,
) -> tuple[NDArray[Any], ...]:
    """Refine mentions. Of those at the same offsets, the one with the best score is kept: in CRAFT, 49 of 59,173 spans
    have two labels.

    Returns row, start, end, label and score, sorted.
    """
    tags, contents = decoder.tags, [text or "" for text in texts.to_pylist()]
    length = np.fromiter(map(len, contents), np.int64, len(contents))
    limits = np.cumsum(length)
    offset = (limits - length)[units.rows()]
    part_start = _part_starts(units, sentence)
    begins = ~inner
    begins[part_start] = True  # even within a word
    begin = np.flatnonzero(begins)
    last = np.append(begin[1:], len(begins))[: len(begin)] - 1
    part = np.searchsorted(part_start, begin, side="right") - 1
    words = Words(
        "".join(contents),
        units.values[begin] + offset[begin],
        unit_end[last] + offset[last],
        sentence[begin],
        part,
        limits,
        tags.groups,
    )
    own_part = np.searchsorted(part_start, spans.first, side="right") - 1
    part_end = words.end[np.searchsorted(part, own_part, side="right") - 1]
    group = np.zeros(len(tags.names), np.int64)
    has_label = tags.label >= 0
    group[tags.label[has_label]] = np.flatnonzero(has_label) // (len(tags.label) // tags.groups)
    mentions = Mentions(
        own_part * tags.groups + group[spans.label],
        units.values[spans.first] + offset[spans.first],
        np.minimum(unit_end[spans.last] + offset[spans.last], part_end),
        spans.label.astype(np.int64),
        score.astype(np.float64),
    )
    refined = refine(words, mentions.take(np.argsort(mentions.scope, kind="stable")), decoder.cut_words)
    found, row = refined.score.astype(np.float32), np.searchsorted(limits, refined.start, side="right")
    order = np.lexsort((refined.label, -found, refined.end, refined.start))
    start, end, row = refined.start[order], refined.end[order], row[order]
    best = np.ones(len(order), np.bool_)
    best[1:] = (np.diff(start) != 0) | (np.diff(end) != 0)
    row, order = row[best], order[best]
    before = (limits - length)[row]
    return row, start[best] - before, end[best] - before, refined.label[order].astype(np.int8), found[order]


def _part_starts(units: "_Lists", sentence: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first unit of each document, and of each further part of at most MAX_WORDS; parts end with sentences where
    possible.
    """
    starts: list[int] = []
    for begin, count in zip(units.starts.tolist(), units.lengths.tolist(), strict=True):
        end = begin + count
        while begin < end:
            starts.append(begin)
            to = begin + MAX_WORDS
            if to < end and (sentence_begin := int(np.searchsorted(sentence, sentence[to]))) > begin:
                to = sentence_begin
            begin = to
    return np.array(starts, np.int64)


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
