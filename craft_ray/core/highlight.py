"""Highlighted mentions: the colours of labels, and texts split at mentions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice, takewhile
from types import MappingProxyType
from typing import Any

from craft_ray.core.text import safe

STYLES = {
    "Sequence": "black on #e69f00",
    "Cell": "black on #56b4e9",
    "Protein": "white on #0072b2",
    "Gene": "black on #009e73",
    "Taxon": "black on #f0e442",
    "Chemical": "black on #cc79a7",
    "Anatomy": "white on #882255",
    "Disease": "black on #d55e00",
    "Process": "black on #44aa99",
    "Function": "black on #999933",
}
"""Text and background colour by label, from Okabe and Ito (jfly.uni-koeln.de/color) and Tol (personal.sron.nl/~pault):
safe for the colour-blind."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text.

    entity: the row of `entities` for which it is the mention, None between mentions
    inner:  the segments of a mention that has others within
    """

    text: str
    entity: Mapping[str, Any] | None = None
    inner: tuple["Segment", ...] = ()


def segments(text: str, start: int, end: int, entities: Sequence[Mapping[str, Any]]) -> Iterator[Segment]:
    """Split `text[start:end]` at the mentions. The pieces always add up to the text.

    Of mentions that overlap without one being within the other, the one that starts first is kept.
    """
    position = start
    ordered = sorted(entities, key=lambda row: (row["start"], -row["end"]))
    for number, entity in enumerate(ordered, 1):
        first, last = entity["start"], entity["end"]
        if first < position or last <= first or last > end:
            continue
        if first > position:
            yield Segment(text[position:first])
        following = takewhile(lambda row: row["start"] < last, islice(ordered, number, None))  # noqa: B023
        within = [row for row in following if row["start"] < row["end"] <= last]
        yield Segment(text[first:last], entity, tuple(segments(text, first, last, within)) if within else ())
        position = last
    if position < end:
        yield Segment(text[position:end])


def highlighted_html(
    text: str, entities: Sequence[Mapping[str, Any]], styles: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Render a text with highlighted and labelled mentions as HTML, escaped.

    styles: override STYLES
    """
    parts = "".join(_marked(segment, styles) for segment in segments(text, 0, len(text), entities))
    return f'<div style="line-height:1.8;white-space:pre-wrap">{parts}</div>'


def _marked(segment: Segment, styles: Mapping[str, str]) -> str:
    shown = "".join(_marked(inner, styles) for inner in segment.inner) or _escaped(segment.text)
    if segment.entity is None:
        return shown
    label = segment.entity["label"]
    ink, ground = styles.get(label, STYLES.get(label, "black on #bbbbbb")).split(" on ")
    style = f"color:{ink};background:{ground};padding:0 .25em;border-radius:.25em"
    title = f"{_escaped(label)} {segment.entity['score']:.2f}"
    return f'<mark style="{style}" title="{title}">{shown} <small>{_escaped(label)}</small></mark>'


def html_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """Render rows as an HTML table, escaped; long cells end with an ellipsis."""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(row[name])}</td>' for name in columns)}</tr>" for row in rows)
    return f"<table><caption>{_escaped(caption)}</caption><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return _escaped(text if len(text) <= 80 else f"{text[:79]}…")


def _escaped(text: str) -> str:
    return escape(safe(text))
