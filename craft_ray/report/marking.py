"""Mentions marked in a text: the colours of labels, and the text in marked and unmarked segments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
