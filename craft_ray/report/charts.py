"""Charts of a report: small tables to Vega-Lite specifications, and these to SVG without any script at runtime.

Every chart is NARROW units wide, so that its text can be read on a telephone; the page sets the colours of text and
lines, for a light and a dark scheme.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert
from lxml import etree

NARROW = 360
"""Width of every chart with its axes, in units of its view box."""

_TAGS = frozenset({"svg", "g", "path", "rect", "line", "text", "tspan", "circle", "title", "clipPath", "defs"})
_BARRED = ("on", "href", "style", "src")
"""How names of attributes begin that no chart needs and that could act."""

_TEXT = {"fontSize": 11, "font": "Arial"}
_CONFIG = {
    "background": None,
    "view": {"stroke": None},
    "axis": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelLimit": 150},
    "header": {"labelFontSize": 11, "title": None, "labelPadding": 2},
    "font": "Arial",
}
_LARGE = ".3~s"
"""How large numbers are written on axes: 1.5M."""

Rows = Sequence[Mapping[str, Any]]


def labels_chart(rows: Rows, colours: Mapping[str, str]) -> str:
    """Entities by label, a bar each with its number. Columns label, entities."""
    most = max((row["entities"] for row in rows), default=0)
    spec = {
        "height": {"step": 24},
        "encoding": {
            "y": _axis("label", "nominal", sort=None),
            "x": _axis("entities", "quantitative", "entities", format=_LARGE, tickMinStep=1)
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
    """Entities by section, bars in parts by label. Columns section, label, entities."""
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
            "x": _axis("entities", "quantitative", "entities", format=_LARGE, tickMinStep=1),
            "color": _coloured(colours),
        },
    }
    return draw(rows, spec, "Entities by section and label")


def years_chart(rows: Rows) -> str:
    """Documents and entities by year, one above the other, a column per year. Columns year, documents, entities."""

    def columns(counted: str, height: int) -> dict[str, Any]:
        axis = {"title": None, "labelAngle": 0, "labelOverlap": True}
        return {
            "mark": {**_bar(), "color": "#0072b2", "width": {"band": 0.9}},
            "width": NARROW - 55,
            "height": height,
            "encoding": {
                "x": {"field": "year", "type": "ordinal", "axis": axis},
                "y": _axis(counted, "quantitative", counted, format=_LARGE, tickMinStep=1, minExtent=34),
            },
        }

    spec = {"vconcat": [columns("documents", 60), columns("entities", 120)], "spacing": 8}
    return draw(rows, spec, "Annotated documents and their entities by year", sized=True)


def scores_chart(rows: Rows, colours: Mapping[str, str], width: float) -> str:
    """How the scores of each label are distributed, a small chart each. Columns label, score, entities.

    width: of a bar, in score
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


def speed_chart(rows: Rows) -> str:
    """Tokens a second over a run. Columns from, until (seconds from its start), speed."""
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
            "y": _axis("speed", "quantitative", "tokens per second", format=_LARGE),
        },
    }
    return draw(ends, spec, "Tokens annotated a second over the run")


def steps_chart(rows: Rows) -> str:
    """Where a run's time went, a bar for each step from its beginning to its end. Columns step, from, until."""
    named = [{**row, "step": f"{row['step']}, {row['until'] - row['from']:,.1f} s"} for row in rows]
    spec = {
        "mark": {**_bar(), "color": "#009e73"},
        "height": {"step": 24},
        "encoding": {
            "y": _axis("step", "nominal", sort=None, labelLimit=200),
            "x": _axis("from", "quantitative", "seconds from the start", format=",~f", tickCount=5),
            "x2": {"field": "until"},
        },
    }
    return draw(named, spec, "Where the time of the run went")


def draw(rows: Rows, spec: Mapping[str, Any], title: str, sized: bool = False) -> str:
    """A chart as an SVG element that names itself and holds nothing that acts.

    sized: whether the specification tells its own width
    """
    if not rows:
        return ""
    width = {} if sized else {"width": NARROW, "autosize": {"type": "fit-x", "contains": "padding"}}
    all_rows = {"data": {"values": list(rows)}, "config": _CONFIG, "padding": 2, **width, **spec}
    svg: str = vl_convert.vegalite_to_svg(json.dumps(all_rows), vl_version="6.4", allowed_base_urls=[])
    return _inert(svg, title)


def _inert(svg: str, title: str) -> str:
    """The drawing alone: no script, link or style, whatever the texts in it were."""
    root = etree.fromstring(svg.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    for element in list(root.iter()):
        name = etree.QName(element).localname if isinstance(element.tag, str) else ""
        if name not in _TAGS:
            element.getparent().remove(element)
            continue
        for attribute in list(element.attrib):
            local = etree.QName(attribute).localname.lower()
            if local.startswith(_BARRED) or local.startswith("aria-") or local in ("role", "font-family"):
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
    """An axis's encoding; `sort` None leaves values in the order in which they come."""
    return {"field": field, "type": type_, "axis": {"title": title, **axis}} | (
        {} if sort == "unset" else {"sort": sort}
    )


def _coloured(colours: Mapping[str, str]) -> dict[str, Any]:
    """Colours of labels; what they mean the page says, in its own letters."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    return {"field": "label", "type": "nominal", "scale": scale, "legend": None}
