"""Renders the page of a report from its figures."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from math import cos, degrees, pi, sin
from types import MappingProxyType
from typing import Any

import jinja2
from markupsafe import Markup

from craft_ray.core.descriptions import LabelDescription, descriptions_in
from craft_ray.core.highlight import STYLES
from craft_ray.core.labels import LABELS
from craft_ray.core.schema import REASONS
from craft_ray.core.text import safe
from craft_ray.core.version import __version__
from craft_ray.report import charts
from craft_ray.report.changes import KINDS
from craft_ray.report.statistics import BINS

_OTHER = ("black on #bbbbbb", "black on #ddccaa", "black on #aaddcc", "black on #ccbbee")
"""Styles of other labels than the six, in turn."""


GRAPH_RADIUS = 80
"""Of the circle of concepts, in units of a view box of twice 180."""

MAX_NAME = 15
"""Characters of a name that fit between the circle and the edge."""


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """How a label is shown.

    number: of its CSS class
    mark:   letters shown behind each mention
    ink:    colour of the text
    ground: colour of the background
    """

    name: str
    number: int
    mark: str
    ink: str
    ground: str
    meaning: str


def render(content: Mapping[str, Any]) -> str:
    """The page as HTML. For the keys of `content` see `_figures` and `_runs` in `report.py`."""
    run = content["run"] or {}
    changes = content["changes"] if isinstance(content["changes"], dict) else {"entities": {}}
    names = [*content["labels"], *(row["label"] for row in content["scores"]), *changes["entities"]]
    styles = label_styles(names, run.get("model") or {})
    colours = {style.name: style.ground for style in styles}
    numbers = {style.name: style.number for style in styles}
    labels = [{"label": style.name, "entities": content["labels"].get(style.name, 0)} for style in styles]
    years = every_year(content["years"])
    svgs = {
        "labels": charts.labels_chart(labels, colours),
        "sections": charts.sections_chart(content["sections"], colours),
        "years": charts.years_chart(years),
        "concepts": charts.concepts_chart(
            _concept_years(content["concepts"], content["concept_years"]), [row["year"] for row in years], colours
        ),
        "scores": charts.scores_chart(content["scores"], colours, 1 / BINS),
        "speed": charts.speed_chart(run.get("progress") or []),
        "steps": charts.steps_chart(run.get("account") or {}),
    }
    css, script = _resource("page.css") + _label_rules(styles), _resource("page.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            **content,
            looks={style.name: style for style in styles},
            charts={name: Markup(svg) for name, svg in svgs.items()},  # made inert by `charts`
            table=_by_section(content["sections"], styles),
            documents=_account(content["statuses"]),
            reasons=REASONS,
            kinds=KINDS,
            graph=_graph(content["together"], sorted(content["concepts"], key=lambda row: numbers[row["label"]])),
            style=Markup(css),
            script=Markup(script),
            style_hash=_hash(css),
            script_hash=_hash(script),
            made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            version=__version__,
        )
    )


_SOURCES = {
    "PMID": ("[1-9][0-9]{0,9}", "https://pubmed.ncbi.nlm.nih.gov/"),
    "PMCID": ("PMC[1-9][0-9]{0,9}", "https://pmc.ncbi.nlm.nih.gov/articles/"),
    "DOI": (r"10\.[0-9]{4,9}/[\w.()/:;-]+", "https://doi.org/"),
}
"""By prefix of document ids: pattern of the rest, and address of the web page of a document."""


def source_of(doc_id: str) -> str | None:
    """The web page of a document at PubMed, PMC or doi.org, or None for other ids.

    >>> source_of("PMID:26228458"), source_of("notes.jsonl#3")
    ('https://pubmed.ncbi.nlm.nih.gov/26228458', None)
    """
    prefix, _, number = doc_id.partition(":")
    pattern, address = _SOURCES.get(prefix, ("(?!)", ""))
    return address + number if re.fullmatch(pattern, number, re.ASCII) else None


def label_styles(names: Sequence[str], model: Mapping[str, Any] = MappingProxyType({})) -> list[LabelStyle]:
    """Styles of labels, each with different letters: first the six in their order, then others.

    model: from a run's record, may describe its own labels (`core/descriptions.py`)
    """
    standard = [label.name for label in LABELS if label.name in names]
    descriptions = descriptions_in(model, names)
    styles: list[LabelStyle] = []
    for number, name in enumerate([*standard, *sorted({*names} - {*standard})]):
        own = descriptions.get(name, LabelDescription())
        ink, ground = (own.style or STYLES.get(name, _OTHER[number % len(_OTHER)])).split(" on ")
        letters = re.sub("[^A-Za-z0-9]", "", name)
        options = [own.letters, letters[:2], *(letters[:1] + letter for letter in letters[2:]), str(number)]
        mark = next(option for option in options if option and option not in {style.mark for style in styles})
        styles.append(LabelStyle(name, number, mark, ink, ground, own.meaning))
    return styles


def every_year(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Counts of each year from the first to the last, including years without documents.

    Over more than 150 years, years without documents are left out, as are documents without a year.
    """
    found = {row["year"]: row for row in rows if row["year"] is not None}
    years = range(min(found), max(found) + 1) if found else range(0)
    return [
        found.get(year, {"year": year, "documents": 0, "entities": 0})
        for year in years
        if len(years) <= 150 or year in found
    ]


def _concept_years(concepts: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Mentions by concept and year with the names and labels of the concepts, in their order."""
    by_concept = {
        row["concept_id"]: [one for one in rows if one["concept_id"] == row["concept_id"]] for row in concepts
    }
    return [
        {"concept": row["concept"] or row["concept_id"], "label": row["label"], **one}
        for row in concepts
        for one in by_concept.pop(row["concept_id"], ())
    ]


def _graph(
    pairs: Sequence[Mapping[str, Any]], concepts: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]] | None:
    """Concepts on a circle in their order, and lines between those that occur together; None if none do.

    pairs:    rows of the figure `together`
    concepts: rows of the figure `concepts`
    """
    if not pairs:
        return None
    tied = {pair[end] for pair in pairs for end in ("first", "second")}
    rows = list({row["concept_id"]: row for row in concepts if row["concept_id"] in tied}.values())
    number = {row["concept_id"]: n for n, row in enumerate(rows)}
    strongest = max(pair["strength"] for pair in pairs)
    nodes = []
    for n, row in enumerate(rows):
        angle = 2 * pi * (n / len(rows) - 0.25)
        name, is_left = row["concept"] or row["concept_id"], cos(angle) < -1e-9
        nodes.append(
            {
                "name": name,
                "short_name": name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…",
                "label": row["label"],
                "x": round(GRAPH_RADIUS * cos(angle), 1),
                "y": round(GRAPH_RADIUS * sin(angle), 1),
                "angle": round(degrees(angle) + (180 if is_left else 0), 1),  # on the left half names end at the circle
                "is_left": is_left,
            }
        )
    lines = [
        {
            "ends": [number[pair["first"]], number[pair["second"]]],
            "sentences": pair["sentences"],
            "share": pair["strength"] / strongest,
        }
        for pair in pairs
    ]
    return nodes, lines


def _account(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    by_status = {
        status: sum(row["documents"] for row in rows if row["status"] == status)
        for status in ("annotated", "rejected", "deleted")
    }
    return {
        **by_status,
        "seen": sum(row["documents"] for row in rows),
        "empty": sum(row["empty"] for row in rows),
        "entities": sum(row["entities"] for row in rows),
        "tokens": sum(row["tokens"] for row in rows),
        "reasons": {row["reason"]: row["documents"] for row in rows if row["status"] == "rejected"},
    }


def _by_section(rows: Sequence[Mapping[str, Any]], styles: Sequence[LabelStyle]) -> list[tuple[str, list[int]]]:
    """One row per section, largest first, with counts by label."""
    cells: dict[str, dict[str, int]] = {}
    for row in rows:
        cells.setdefault(row["section"], {})[row["label"]] = row["entities"]
    lines = [(section, [counts.get(style.name, 0) for style in styles]) for section, counts in cells.items()]
    return sorted(lines, key=lambda line: -sum(line[1]))


def _label_rules(styles: Sequence[LabelStyle]) -> str:
    """CSS rules of labels. Marks have only letters and digits, so they need no escaping."""
    return "".join(
        f".l{style.number}{{--ink:{style.ink};--ground:{style.ground}}}"
        f'.l{style.number}::after{{content:"{style.mark}"}}\n'
        for style in styles
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("craft_ray", "report/template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    environment.filters |= {"grouped": lambda number: f"{number:,.0f}", "estimated": _estimated, "as_json": json.dumps}
    environment.filters |= {"source": source_of, "signed": lambda number: f"{number:+,}"}
    return environment


def _estimated(number: float) -> str:
    return f"≈ {float(f'{number:.3g}'):,.0f}"


def _resource(name: str) -> str:
    return resources.files("craft_ray").joinpath("report", "template", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Hash of a script or style for the content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
