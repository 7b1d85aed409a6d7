"""Mentions by a user's dictionary, beside those of the model."""

from bisect import bisect_left

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.dictionary import Dictionary
from craft_ray.model.decode import entity_table


def with_dictionary(entities: pa.Table, block: pa.Table, dictionary: Dictionary | None) -> pa.Table:
    """Add the names of a dictionary that stand within a sentence.

    Of overlapping mentions of one label the longest stays, or the model's if they are alike. Those of different labels
    stay both.

    entities, block: as `decode` returns and takes them
    """
    if dictionary is None or not block.num_rows:
        return entities
    found = dictionary.find(block["text"].to_pylist())
    inside = np.flatnonzero(_within_sentences(block, found.row, found.start, found.end))
    row, start, end, label = (column[inside] for column in found)
    names = np.array(dictionary.labels, object)[label]
    none = np.full(len(row), None, object)
    ours = entity_table(
        block, row, start.astype(np.int32), end.astype(np.int32), names, np.ones(len(row), np.float32), none
    )
    every = pa.concat_tables([entities, ours.cast(entities.schema)])
    return every.take(pa.array(_longest(every, entities.num_rows)))


def _within_sentences(
    block: pa.Table, row: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.bool_]:
    lengths = pc.fill_null(pc.list_value_length(block["sentence_start"]), 0).to_numpy().astype(np.int64)
    rows = np.repeat(np.arange(len(lengths)), lengths) << 32
    begins, ends = (rows | pc.list_flatten(block[f"sentence_{edge}"]).to_numpy() for edge in ("start", "end"))
    own = np.searchsorted(begins, (row << 32) | start, side="right") - 1
    inside: NDArray[np.bool_] = own >= 0
    inside[inside] = ((row << 32) | end)[inside] <= ends[own[inside]]
    return inside


def _longest(entities: pa.Table, of_model: int) -> list[int]:
    """Indices of the mentions to keep, by document and offset. The first `of_model` are the model's."""
    labels = entities["label"].combine_chunks().dictionary_encode().indices.to_numpy()
    row, start, end = (entities[name].to_numpy() for name in ("row", "start", "end"))
    is_ours = np.arange(len(row)) >= of_model
    group = row * (labels.max(initial=0) + 1) + labels
    rivals = np.flatnonzero(np.isin(group, np.intersect1d(group[is_ours], group[~is_ours])))
    spans: dict[int, list[tuple[int, int]]] = {}  # those kept of each document and label, sorted
    keep = np.ones(len(row), np.bool_)
    for n in rivals[np.lexsort((is_ours[rivals], (start - end)[rivals]))].tolist():
        span, others = (int(start[n]), int(end[n])), spans.setdefault(int(group[n]), [])
        at = bisect_left(others, span)
        keep[n] = all(span[1] <= first or last <= span[0] for first, last in others[max(0, at - 1) : at + 1])
        if keep[n]:
            others.insert(at, span)
    order = np.lexsort((is_ours, start, row))
    kept: list[int] = order[keep[order]].tolist()
    return kept
