"""The page of a report from its figures."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
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
from craft_ray.report import statistics as figures
from craft_ray.report import timeline as pace
from craft_ray.report.changes import KINDS

_OTHER = ("black on #bbbbbb", "black on #ddccaa", "black on #aaddcc", "black on #ccbbee")
"""Styles of labels that are not among the six, in turn."""


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """How a label is shown: `mark` stands behind its mentions, `number` names its style."""

    name: str
    number: int
    mark: str
    ink: str
    ground: str
    meaning: str


def render(content: Mapping[str, Any]) -> str:
    """The page of what was asked; see `_asked` and `_runs` for its parts."""
    model = (content["run"] or {}).get("model") or {}
    changes = content["changes"] if isinstance(content["changes"], dict) else {"entities": {}}
    looks = label_styles(
        [*content["labels"], *(row["label"] for row in content["scores"]), *changes["entities"]], model
    )
    colours = {look.name: look.ground for look in looks}
    labels = [{"label": look.name, "entities": content["labels"].get(look.name, 0)} for look in looks]
    account = (content["run"] or {}).get("account") or {}
    progress = (content["run"] or {}).get("progress") or []
    drawn = {
        "labels": charts.labels_chart(labels, colours),
        "sections": charts.sections_chart(content["sections"], colours),
        "years": charts.years_chart(every_year(content["years"])),
        "scores": charts.scores_chart(content["scores"], colours, 1 / figures.BINS),
        "speed": charts.speed_chart(pace.speeds(progress)),
        "steps": charts.steps_chart(pace.steps(account)),
    }
    style, script = _packed("page.css") + _label_rules(looks), _packed("page.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            **content,
            looks={look.name: look for look in looks},
            charts={name: Markup(svg) for name, svg in drawn.items()},  # made inert by `charts`
            table=_by_section(content["sections"], looks),
            documents=_account(content["statuses"]),
            reasons=REASONS,
            kinds=KINDS,
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
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
"""Kinds of document ids: the form of an id, and the address of the page about it."""


def source_of(doc_id: str) -> str | None:
    """The address of the page about a document at PubMed, PMC or its publisher; None for any other id.

    >>> source_of("PMID:26228458"), source_of("notes.jsonl#3")
    ('https://pubmed.ncbi.nlm.nih.gov/26228458', None)
    """
    kind, _, number = doc_id.partition(":")
    form, address = _SOURCES.get(kind, ("(?!)", ""))
    return address + number if re.fullmatch(form, number, re.ASCII) else None


def label_styles(names: Sequence[str], model: Mapping[str, Any] = MappingProxyType({})) -> list[LabelStyle]:
    """How labels are shown: the six in their order, then others; each has letters of its own.

    model: as the run's record has it, with what it says of its labels (`core/descriptions.py`)
    """
    known = [label.name for label in LABELS if label.name in names]
    known_of = descriptions_in(model, names)
    looks: list[LabelStyle] = []
    for number, name in enumerate([*known, *sorted({*names} - {*known})]):
        about = known_of.get(name, LabelDescription())
        ink, ground = (about.style or STYLES.get(name, _OTHER[number % len(_OTHER)])).split(" on ")
        letters = re.sub("[^A-Za-z0-9]", "", name)
        options = [about.letters, letters[:2], *(letters[:1] + letter for letter in letters[2:]), str(number)]
        mark = next(option for option in options if option and option not in {look.mark for look in looks})
        looks.append(LabelStyle(name, number, mark, ink, ground, about.meaning))
    return looks


def every_year(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Counts of each year from the first to the last, those without documents too; null years are left out."""
    found = {row["year"]: row for row in rows if row["year"] is not None}
    years = range(min(found), max(found) + 1) if found else range(0)
    return [
        found.get(year, {"year": year, "documents": 0, "entities": 0})
        for year in years
        if len(years) <= 150 or year in found
    ]


def _account(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Documents by status, rejected ones by reason."""
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


def _by_section(rows: Sequence[Mapping[str, Any]], looks: Sequence[LabelStyle]) -> list[tuple[str, list[int]]]:
    """One row per section, the largest first, and one column per label."""
    cells: dict[str, dict[str, int]] = {}
    for row in rows:
        cells.setdefault(row["section"], {})[row["label"]] = row["entities"]
    lines = [(section, [counts.get(look.name, 0) for look in looks]) for section, counts in cells.items()]
    return sorted(lines, key=lambda line: -sum(line[1]))


def _label_rules(looks: Sequence[LabelStyle]) -> str:
    """Style rules of labels; their letters are letters and digits alone."""
    return "".join(
        f'.l{look.number}{{--ink:{look.ink};--ground:{look.ground}}}.l{look.number}::after{{content:"{look.mark}"}}\n'
        for look in looks
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
    """A number as it is written where its last digits mean nothing."""
    return f"≈ {float(f'{number:.3g}'):,.0f}"


def _packed(name: str) -> str:
    return resources.files("craft_ray").joinpath("report", "template", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
