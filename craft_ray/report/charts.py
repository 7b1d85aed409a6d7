"""Charts of a report, drawn as SVG from Vega-Lite specifications, without scripts in the page.

Charts are WIDTH units wide, so that their text is readable on a phone. The page's style sets the colours of text and
lines for a light and a dark scheme.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import vl_convert
from lxml import etree

from craft_ray.core.text import safe

WIDTH = 360
"""Width of a chart with its axes, in units of the view box."""

_ALLOWED_TAGS = frozenset({"svg", "g", "path", "rect", "line", "text", "tspan", "circle", "title", "clipPath", "defs"})
_REMOVED_ATTRIBUTES = ("on", "href", "style", "src", "aria-", "role", "font-family")
"""Prefixes of attributes that charts do not need. Some of them could run scripts or load files."""

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TEXT = {"fontSize": 11, "font": "Arial"}
_CONFIG = {
    "background": None,
    "view": {"stroke": None},
    "axis": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelLimit": 150},
    "header": {"labelFontSize": 11, "title": None, "labelPadding": 2},
    "font": "Arial",
}
_SI = ".3~s"
"""Number format of axes, such as 1.5M."""

STEPS = {
    "ray_ready": "Ray starts",
    "model_ready": "model is made ready",
    "first_block": "first block",
    "first_commit": "first commit",
    "last_commit": "all the rest",
}
"""The step that ends at each point of a run's timeline."""

LAST_STEP = "tables are closed"

Rows = Sequence[Mapping[str, Any]]


def labels_chart(rows: Rows, colours: Mapping[str, str]) -> str:
    """Bars with numbers. Columns label, entities."""
    most = max((row["entities"] for row in rows), default=0)
    spec = {
        "height": {"step": 24},
        "encoding": {
            "y": _axis("label", "nominal", sort=None),
            "x": _axis("entities", "quantitative", "entities", format=_SI, tickMinStep=1)
            | {"scale": {"domainMax": most * 1.25 or 1, "nice": False}},  # room for the number behind the longest bar
        },
        "layer": [
            {"mark": _bar(), "encoding": {"color": _coloured(colours)}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, **_TEXT},
                "encoding": {"text": {"field": "entities", "type": "quantitative", "format": ","}},
            },
        ],
    }
    return draw(rows, spec, "Entities by label")


def sections_chart(rows: Rows, colours: Mapping[str, str]) -> str:
    """Bars stacked by label. Columns section, label, entities."""
    spec = {
        "mark": _bar(),
        "height": {"step": 20},
        "encoding": {
            "y": _axis(
                "section",
                "nominal",
                sort={"field": "entities", "op": "sum", "order": "descending"},
                labelExpr="replace(datum.label, 'body/', '')",
            ),
            "x": _axis("entities", "quantitative", "entities", format=_SI, tickMinStep=1),
            "color": _coloured(colours),
        },
    }
    return draw(rows, spec, "Entities by section and label")


def years_chart(rows: Rows) -> str:
    """Documents above entities, one bar per year. Columns year, documents, entities."""

    def columns(counted: str, height: int) -> dict[str, Any]:
        axis = {"title": None, "labelAngle": 0, "labelOverlap": True}
        return {
            "mark": {**_bar(), "color": "#0072b2", "width": {"band": 0.9}},
            "width": WIDTH - 55,
            "height": height,
            "encoding": {
                "x": {"field": "year", "type": "ordinal", "axis": axis},
                "y": _axis(counted, "quantitative", counted, format=_SI, tickMinStep=1, minExtent=34),
            },
        }

    spec = {"vconcat": [columns("documents", 60), columns("entities", 120)], "spacing": 8}
    return draw(rows, spec, "Annotated documents and their entities by year", sized=True)


def concepts_chart(rows: Rows, years: Sequence[int], colours: Mapping[str, str]) -> str:
    """A cell for each concept and year, full in the years with most mentions. Columns concept, label, year, mentions.

    years: of the axis
    """
    most: dict[str, int] = {}
    for row in rows:
        most[row["concept"]] = max(row["mentions"], most.get(row["concept"], 0))
    spec = {
        "mark": {"type": "rect", "stroke": "#555", "strokeWidth": 0.4},
        "height": {"step": 18},
        "encoding": {
            "x": {
                "field": "year",
                "type": "ordinal",
                "scale": {"domain": list(years)},
                "axis": {"title": None, "labelAngle": 0, "labelOverlap": True},
            },
            "y": _axis("concept", "nominal", sort=None, labelLimit=130),
            "color": _coloured(colours),
            "opacity": {"field": "share", "type": "quantitative", "legend": None}
            | {"scale": {"domain": [0, 1], "range": [0.05, 1]}},
        },
    }
    shares = [{**row, "share": row["mentions"] / most[row["concept"]]} for row in rows]
    return draw(shares, spec, "Mentions of the most frequent concepts by year")


def scores_chart(rows: Rows, colours: Mapping[str, str], width: float) -> str:
    """A small histogram for each label. Columns label, score, entities.

    width: of a bin, in score
    """
    spans = [{**row, "until": row["score"] + width} for row in rows]
    spec = {
        "facet": {"field": "label", "type": "nominal", "sort": list(colours)},
        "columns": 2,
        "spacing": {"row": 14, "column": 14},
        "resolve": {"scale": {"y": "independent"}, "axis": {"x": "independent"}},
        "spec": {
            "width": 125,
            "height": 62,
            "mark": {**_bar(), "strokeWidth": 0.4},
            "encoding": {
                "x": {
                    "field": "score",
                    "type": "quantitative",
                    "bin": {"binned": True, "step": width},
                    "scale": {"domain": [0, 1]},
                    "axis": {"title": None, "values": [0, 0.5, 1], "format": ".1f"},
                },
                "x2": {"field": "until"},
                "y": {
                    "field": "entities",
                    "type": "quantitative",
                    "axis": {"title": None, "tickCount": 2, "tickMinStep": 1, "format": ".2~s"},
                },
                "color": _coloured(colours),
            },
        },
    }
    return draw(spans, spec, "Scores of each label", sized=True)


def speed_chart(progress: Sequence[Sequence[float]]) -> str:
    """Tokens per second during a run.

    progress: seconds since the start, documents and tokens at each commit
    """
    rows = speeds(progress)
    ends = [{"at": row["from"], "speed": row["speed"]} for row in rows]
    ends += [{"at": row["until"], "speed": row["speed"]} for row in rows[-1:]]
    spec = {
        "mark": {
            "type": "area",
            "interpolate": "step-after",
            "line": {"color": "#0072b2", "strokeWidth": 1.5},
            "color": "#56b4e9",
            "opacity": 0.6,
        },
        "height": 150,
        "encoding": {
            "x": _axis("at", "quantitative", "seconds from the start", format=",~f", tickCount=6),
            "y": _axis("speed", "quantitative", "tokens per second", format=_SI),
        },
    }
    return draw(ends, spec, "Tokens per second during the run")


def speeds(progress: Sequence[Sequence[float]], bars: int = 60) -> list[dict[str, float]]:
    """Tokens per second between commits, as intervals with `from`, `until` (seconds) and `speed`.

    progress: seconds since the start, documents and tokens at each commit
    bars:     upper bound of intervals; short ones are merged
    """
    points = [(0.0, 0.0), *((at, tokens) for at, _, tokens in progress)]
    min_length = points[-1][0] / bars
    kept = points[:1]
    for point in points[1:]:
        if point[0] - kept[-1][0] >= min_length and point[0] > kept[-1][0]:
            kept.append(point)
        elif len(kept) > 1:
            kept[-1] = (max(point[0], kept[-1][0]), point[1])
    return [
        {"from": began, "until": ended, "speed": (tokens - before) / (ended - began)}
        for (began, before), (ended, tokens) in pairwise(kept)
    ]


def steps_chart(account: Mapping[str, Any]) -> str:
    """One bar for each step of a run.

    account: from the run's record
    """
    named = [
        {**row, "step": f"{row['step']}, {row['until'] - row['from']:,.1f} s"}
        for row in steps(account.get("timeline") or {}, account.get("seconds") or 0)
    ]
    spec = {
        "mark": {**_bar(), "color": "#009e73"},
        "height": {"step": 24},
        "encoding": {
            "y": _axis("step", "nominal", sort=None, labelLimit=200),
            "x": _axis("from", "quantitative", "seconds from the start", format=",~f", tickCount=5),
            "x2": {"field": "until"},
        },
    }
    return draw(named, spec, "Duration of the steps of the run")


def steps(timeline: Mapping[str, float], seconds: float) -> list[dict[str, Any]]:
    """The steps of a run with `step`, and `from` and `until` in seconds since its start.

    seconds: of the whole run
    """
    found: list[dict[str, Any]] = []
    at = 0.0
    for step, point in [*((STEPS[name], timeline[name]) for name in STEPS if name in timeline), (LAST_STEP, seconds)]:
        if timeline and (step != LAST_STEP or point > at):
            found.append({"step": step, "from": at, "until": max(at, point)})
            at = max(at, point)
    return found


def draw(rows: Rows, spec: Mapping[str, Any], title: str, sized: bool = False) -> str:
    """A chart as an inert SVG element with a label for screen readers.

    sized: whether the specification sets the width itself
    """
    if not rows:
        return ""
    width = {} if sized else {"width": WIDTH, "autosize": {"type": "fit-x", "contains": "padding"}}
    all_rows = {"data": {"values": list(rows)}, "config": _CONFIG, "padding": 2, **width, **spec}
    svg: str = vl_convert.vegalite_to_svg(json.dumps(_drawable(all_rows)), vl_version="6.4", allowed_base_urls=[])
    return _inert(svg, title)


def _drawable(value: Any) -> Any:
    """Replace characters that XML excludes in all texts of a value, at which vl-convert aborts this process."""
    if isinstance(value, str):
        return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", safe(value))
    if isinstance(value, Mapping):
        return {_drawable(name): _drawable(one) for name, one in value.items()}
    return [_drawable(one) for one in value] if isinstance(value, list) else value


def _inert(svg: str, title: str) -> str:
    """An SVG without scripts, links and styles."""
    root = etree.fromstring(svg.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    for element in list(root.iter()):
        name = etree.QName(element).localname if isinstance(element.tag, str) else ""
        if name not in _ALLOWED_TAGS:
            element.getparent().remove(element)
            continue
        for attribute in list(element.attrib):
            local = etree.QName(attribute).localname.lower()
            if local.startswith(_REMOVED_ATTRIBUTES):
                del element.attrib[attribute]
    for name in ("width", "height"):
        del root.attrib[name]
    root.set("role", "img")
    root.set("aria-label", title)
    etree.cleanup_namespaces(root)
    return etree.tostring(root, encoding="unicode")


def _bar() -> dict[str, Any]:
    return {"type": "bar", "stroke": "#555", "strokeWidth": 0.6}


def _axis(field: str, type_: str, title: str | None = None, sort: Any = "unset", **axis: Any) -> dict[str, Any]:
    """Encoding of an axis. With `sort=None` values stay in the order of the rows."""
    return {"field": field, "type": type_, "axis": {"title": title, **axis}} | (
        {} if sort == "unset" else {"sort": sort}
    )


def _coloured(colours: Mapping[str, str]) -> dict[str, Any]:
    """Colours by label. The legend is part of the page, not of the chart."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    return {"field": "label", "type": "nominal", "scale": scale, "legend": None}
