"""List the mentions that a model missed and those that it invented, with their context."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from craft_ray.model.tags import Spans
from craft_ray.training.corpora import GoldDocument
from craft_ray.training.metrics import is_correct

CONTEXT = 40
"""Characters of context on each side of a mention."""

ERRORS = pa.schema(
    [
        ("error", pa.string()),
        ("doc_id", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("label", pa.string()),
        ("mention", pa.string()),
        ("instead", pa.string()),
        ("context", pa.string()),
    ]
)
"""`error` is `missed` or `invented`; `instead` lists the overlapping mentions of the other side."""


def list_errors(documents: Sequence[GoldDocument], gold: Spans, predicted: Spans, names: Sequence[str]) -> pa.Table:
    """Rows of ERRORS, ordered by document and offset.

    A prediction with a wrong border or label counts twice: gold's mention is missed, and the prediction is invented.

    gold, predicted: spans of code points in the joined texts of all documents
    names:           of the labels
    """
    text = "".join(document.text for document in documents)
    ends = np.cumsum([len(document.text) for document in documents])
    rows = [*_wrong("missed", gold, predicted, names, text), *_wrong("invented", predicted, gold, names, text)]
    rows.sort(key=lambda row: (row["start"], row["end"], row["error"]))
    for row in rows:
        number = int(np.searchsorted(ends, row["start"], side="right"))
        text_end = int(ends[number])
        text_start = text_end - len(documents[number].text)
        start, end = row["start"], row["end"]
        row |= {"doc_id": documents[number].doc_id, "start": start - text_start, "end": end - text_start}
        row["context"] = text[max(text_start, start - CONTEXT) : min(text_end, end + CONTEXT)]
    return pa.Table.from_pylist(rows, ERRORS)


def _wrong(error: str, spans: Spans, others: Spans, names: Sequence[str], text: str) -> Iterator[dict[str, Any]]:
    """The mentions of one side that the other side does not have."""
    order = np.argsort(others.first, kind="stable")
    first = others.first[order]
    furthest = np.maximum.accumulate(others.last[order]) if len(order) else others.last
    for start, last, label in spans.rows()[~is_correct(others, spans)].tolist():
        # Others overlap only if they start by `last`, and not before the first one that reaches `start`.
        near = order[np.searchsorted(furthest, start) : np.searchsorted(first, last, side="right")]
        overlapping = [other for other in near.tolist() if others.last[other] >= start]
        yield {
            "error": error,
            "start": start,
            "end": last + 1,
            "label": names[label],
            "mention": text[start : last + 1],
            "instead": "; ".join(
                f"{names[others.label[o]]}: {text[others.first[o] : others.last[o] + 1]}" for o in overlapping
            )
            or None,
        }
