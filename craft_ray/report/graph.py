"""The graph of concepts that occur together: its nodes on a circle, with lines between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, degrees, pi, sin
from typing import Any

RADIUS = 80
"""Of the circle, in units of a view box of twice 180."""

MAX_NAME = 15
"""Characters of a name that fit between the circle and the edge."""


@dataclass(frozen=True, slots=True)
class Node:
    """A concept on the circle.

    angle: by which its name is turned about the centre, in degrees; on the left half names end at the circle
    """

    name: str
    label: str
    x: float
    y: float
    angle: float
    is_left: bool

    @property
    def short_name(self) -> str:
        return self.name if len(self.name) <= MAX_NAME else f"{self.name[: MAX_NAME - 1]}…"


@dataclass(frozen=True, slots=True)
class Edge:
    """A line between two nodes, by their numbers.

    sentences: in which both occur
    share:     strength as a part of that of the strongest line
    """

    first: int
    second: int
    sentences: int
    share: float


def circle(
    pairs: Sequence[Mapping[str, Any]], concepts: Sequence[Mapping[str, Any]]
) -> tuple[list[Node], list[Edge]] | None:
    """Nodes in the order of `concepts`, without those that have no line; None if there are no pairs.

    pairs:    rows of the figure `together`
    concepts: rows of the figure `concepts`
    """
    if not pairs:
        return None
    tied = {pair[end] for pair in pairs for end in ("first", "second")}
    rows = list({row["concept_id"]: row for row in concepts if row["concept_id"] in tied}.values())
    number = {row["concept_id"]: n for n, row in enumerate(rows)}
    strongest = max(pair["strength"] for pair in pairs)
    return [_node(row, 2 * pi * (n / len(rows) - 0.25)) for n, row in enumerate(rows)], [
        Edge(number[pair["first"]], number[pair["second"]], pair["sentences"], pair["strength"] / strongest)
        for pair in pairs
    ]


def _node(row: Mapping[str, Any], angle: float) -> Node:
    x, y, is_left = RADIUS * cos(angle), RADIUS * sin(angle), cos(angle) < -1e-9
    turned = degrees(angle) + (180 if is_left else 0)
    return Node(row["concept"] or row["concept_id"], row["label"], round(x, 1), round(y, 1), round(turned, 1), is_left)
