"""Mentions that a model missed and those that it invented, each with its context; pure."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from craft_ray.model.tags import Spans
from craft_ray.training.craft import GoldDocument
from craft_ray.training.metrics import is_right

AROUND = 40
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
"""A row for each mention that is `missed` or `invented`; `instead` is what the other side has in its place."""


def list_errors(documents: Sequence[GoldDocument], gold: Spans, predicted: Spans, names: Sequence[str]) -> pa.Table:
    """Rows of ERRORS, in order of documents and offsets.

    gold, predicted: mentions by code points of all texts as one
    names:           of the labels

    A mention is right if its span and label are both gold's. What has a wrong border or label is missed and invented.
    """
    text = "".join(document.text for document in documents)
    ends = np.cumsum([len(document.text) for document in documents])
    rows = [*_wrong("missed", gold, predicted, names, text), *_wrong("invented", predicted, gold, names, text)]
    rows.sort(key=lambda row: (row["start"], row["end"], row["error"]))
    for row in rows:
        number = int(np.searchsorted(ends, row["start"], side="right"))
        begin = int(ends[number]) - len(documents[number].text)
        at, to = row["start"], row["end"]
        row |= {"doc_id": documents[number].doc_id, "start": at - begin, "end": to - begin}
        row["context"] = text[max(begin, at - AROUND) : min(int(ends[number]), to + AROUND)]
    return pa.Table.from_pylist(rows, ERRORS)


def _wrong(error: str, spans: Spans, others: Spans, names: Sequence[str], text: str) -> Iterator[dict[str, Any]]:
    """The mentions of one side that the other has not, each with what that has in its place."""
    order = np.argsort(others.first, kind="stable")
    first, last = others.first[order], np.maximum.accumulate(others.last[order]) if len(order) else others.last
    for at, to, label in spans.rows()[~is_right(others, spans)].tolist():
        # Of all that begin at or before the end, those from the first that reaches the beginning may overlap.
        near = order[np.searchsorted(last, at) : np.searchsorted(first, to, side="right")]
        beside = [other for other in near.tolist() if others.last[other] >= at]
        said = (f"{names[others.label[o]]}: {text[others.first[o] : others.last[o] + 1]}" for o in beside)
        yield {
            "error": error,
            "start": at,
            "end": to + 1,
            "label": names[label],
            "mention": text[at : to + 1],
            "instead": "; ".join(said) or None,
        }
