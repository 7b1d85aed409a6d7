"""Mentions marked in a text: the colours of labels, and the text in marked and unmarked segments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
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
}
"""How each label is marked: the colours of Okabe and Ito (jfly.uni-koeln.de/color), for the colour-blind as well."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of text; `entity` is the row of `entities` that it is a mention of, None for what is between."""

    text: str
    entity: Mapping[str, Any] | None = None


def segments(text: str, start: int, end: int, entities: Sequence[Mapping[str, Any]]) -> Iterator[Segment]:
    """`text[start:end]` in pieces that together are just that, whatever the entities' offsets are.

    Of entities that overlap the one that begins first keeps its text, and of those the longest.
    """
    at = start
    for entity in sorted(entities, key=lambda row: (row["start"], -row["end"])):
        if entity["start"] < at or entity["end"] <= entity["start"] or entity["end"] > end:
            continue
        if entity["start"] > at:
            yield Segment(text[at : entity["start"]])
        yield Segment(text[entity["start"] : entity["end"]], entity)
        at = entity["end"]
    if at < end:
        yield Segment(text[at:end])


def highlighted_html(
    text: str, entities: Sequence[Mapping[str, Any]], styles: Mapping[str, str] = MappingProxyType({})
) -> str:
    """A text as HTML with its entities marked and named, for a notebook; everything in it is escaped.

    styles: of labels, as in STYLES, before those
    """
    parts = []
    for segment in segments(text, 0, len(text), entities):
        shown = _escaped(segment.text)
        if segment.entity is not None:
            label = segment.entity["label"]
            ink, ground = styles.get(label, STYLES.get(label, "black on #bbbbbb")).split(" on ")
            style = f"color:{ink};background:{ground};padding:0 .25em;border-radius:.25em"
            title = f"{_escaped(label)} {segment.entity['score']:.2f}"
            shown = f'<mark style="{style}" title="{title}">{shown} <small>{_escaped(label)}</small></mark>'
        parts.append(shown)
    return f'<div style="line-height:1.8;white-space:pre-wrap">{"".join(parts)}</div>'


def html_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], caption: str) -> str:
    """Rows as an HTML table, for a notebook; everything in it is escaped, and long cells are cut with an ellipsis."""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(row[name])}</td>' for name in columns)}</tr>" for row in rows)
    return f"<table><caption>{_escaped(caption)}</caption><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return _escaped(text if len(text) <= 80 else f"{text[:79]}…")


def _escaped(text: str) -> str:
    return escape(safe(text))
