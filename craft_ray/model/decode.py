"""Label ids and scores of words to entities with offsets, for a whole block."""

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
from craft_ray.model.tags import Spans, TagSet, iob_to_spans


@dataclass(frozen=True, slots=True)
class Decoder:
    """What `decode` needs of a checkpoint; `refine` turns `refinement` on."""

    tags: TagSet
    calibration: tuple[float, float] = IDENTITY
    refine: bool = False

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Decoder":
        return cls(checkpoint.tags, checkpoint.calibration, checkpoint.refine_mentions)


def decode(block: pa.Table, decoder: Decoder) -> tuple[pa.Table, NDArray[np.int64]]:
    """Entities of a block of tokenized documents with `label_ids` and `scores`, and the number of entities of each row.

    The entities have the columns of ENTITIES without `run_id` and `block_id`, plus `row`, the index of the document in
    the block. They are ordered by document and offset. Their score is the mean over their words, calibrated.
    """
    words = _Lists(block["word_start"])
    sentences = _Lists(block["sentence_start"])
    word_row = words.rows()
    sentence = _flat(block["word_sentence"]) + sentences.starts[word_row]
    tags = decoder.tags
    word_end = _flat(block["word_end"])
    spans = iob_to_spans(_flat(block["label_ids"]), sentence, tags)
    raw = span_means(_flat(block["scores"]), spans.first, spans.last)
    if decoder.refine:
        spans, raw = _refine_documents(block["text"], words, word_end, sentence, spans, raw)
    row = word_row[spans.first]
    start = words.values[spans.first]
    end = word_end[spans.last]
    own_sentence = sentence[spans.first]
    entities = {
        "doc_id": block["doc_id"].combine_chunks().take(pa.array(row)),
        "section": _sections(block["sections"], row, start),
        "start": start,
        "end": end,
        "label": np.array(tags.names, object)[spans.label],
        "mention": _mentions(block["text"], row, start, end),
        "score": calibrated(raw, decoder.calibration),
        "ontology": np.array(tags.ontologies, object)[spans.label],
        "sentence_start": sentences.values[own_sentence],
        "sentence_end": _flat(block["sentence_end"])[own_sentence],
    }
    table = pa.table({name: pa.array(values, ENTITIES.field(name).type) for name, values in entities.items()})
    return table.append_column("row", pa.array(row, pa.int64())), np.bincount(row, minlength=block.num_rows)


def _refine_documents(
    texts: pa.ChunkedArray,
    words: "_Lists",
    word_end: NDArray[np.int32],
    sentence: NDArray[np.int64],
    spans: Spans,
    score: NDArray[np.float32],
) -> tuple[Spans, NDArray[np.float32]]:
    """Refine each document on its own, a long one in parts."""
    combined = texts.combine_chunks()
    refined: list[Scored] = []
    for row, (begin, count) in enumerate(zip(words.starts.tolist(), words.lengths.tolist(), strict=True)):
        text = ""
        for first, to in _parts(sentence, begin, begin + count):
            own = slice(*np.searchsorted(spans.first, [first, to]))
            if own.start == own.stop:
                continue
            text = text or combined[row].as_py()
            part = Words(text, *(column[first:to].tolist() for column in (words.values, word_end, sentence)))
            last = np.minimum(spans.last[own], to - 1)
            columns = (spans.first[own] - first, last - first, spans.label[own], score[own])
            mentions = map(Scored, *(column.tolist() for column in columns))
            refined += [m._replace(first=m.first + first, last=m.last + first) for m in refine(part, mentions)]
    rows = np.array([mention[:3] for mention in refined], np.int64).reshape(-1, 3)
    scores = np.array([mention.score for mention in refined], np.float32)
    return Spans(rows[:, 0], rows[:, 1], rows[:, 2].astype(np.int8)), scores


def _parts(sentence: NDArray[np.int64], begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Split a range of words into parts of at most MAX_WORDS, at the ends of sentences where possible."""
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


def span_means(scores: NDArray[np.float32], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float32]:
    """Mean score of the words of each span. Spans must be sorted and disjoint."""
    if len(first) == 0:
        return np.empty(0, np.float32)
    edges = np.column_stack([first, last + 1]).ravel()
    padded = np.append(scores.astype(np.float64), 0.0)  # reduceat requires every edge to be a valid index
    means: NDArray[np.float32] = (np.add.reduceat(padded, edges)[::2] / (last - first + 1)).astype(np.float32)
    return means


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
