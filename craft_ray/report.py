"""A report of an output as one page: figures, charts and documents in a file that needs nothing and asks for nothing.

All that comes from documents, files and records is escaped by the template, and what would turn text around is taken
out. The page's policy lets run the one script and the one style that are in it, and lets it fetch nothing.
"""

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from itertools import islice
from typing import Any

import duckdb
import jinja2
import pyarrow as pa
from markupsafe import Markup

from craft_ray import __version__, charts, figures, lease, pace, samples
from craft_ray.database import database
from craft_ray.errors import RunError
from craft_ray.faults import cause, explained
from craft_ray.labels import LABELS
from craft_ray.prepare import UNREADABLE
from craft_ray.runs import read_records
from craft_ray.sampling import Part, is_sorted_by_mention, sample, whole
from craft_ray.schema import REASONS
from craft_ray.snapshots import Snapshot, open_snapshot
from craft_ray.storage import Storage
from craft_ray.terminal import STYLES, safe

ROWS = 100_000_000
"""Entities of which a report reads each; of more it reads a sample of so many."""

RUNS = 20
"""Runs that are listed."""

MEMORY = "1GB"
"""Of the database; what needs more goes to disk."""

_OTHER = ("black on #bbbbbb", "black on #ddccaa", "black on #aaddcc", "black on #ccbbee")
"""Styles of labels that are not among the six, in turn."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a label is shown: `mark` stands behind its mentions, `number` names its style."""

    name: str
    number: int
    mark: str
    ink: str
    ground: str
    meaning: str


def write_report(
    storage: Storage,
    output: str,
    target: str,
    number: int = 12,
    seed: int = 0,
    at_most: int | None = ROWS,
    tell: Callable[[str], None] = lambda step: None,
) -> dict[str, Any]:
    """Write the page, and return what it was made of: path, bytes, seconds, rows, rows read and whether that is all.

    number:  documents to show
    at_most: entities to read, beyond which a sample is drawn; None to read all

    Raises SettingsError if there are no tables or the page cannot be written, RunError if the tables cannot be read.
    """
    began = time.monotonic()
    tell("opening the tables")
    snapshot = open_snapshot(storage, output)
    part = whole(snapshot.entities) if at_most is None else sample(snapshot.entities, at_most, seed)
    try:
        content = _asked(snapshot, part, number, seed, tell)
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise RunError(
            f"cannot read the tables of {output}: {cause(error)}; if a run has ended meanwhile, try again"
        ) from error
    tell("drawing")
    page = render(content | _runs(storage, output) | {"output": output, "number": number}).encode()
    with explained(f"the page {target}"):
        storage.write_bytes(target, page)
    return {
        "html": target,
        "bytes": len(page),
        "seconds": round(time.monotonic() - began, 1),
        "rows": sum(snapshot.entities.rows.values()),
        "rows_read": sum(part.rows.values()),
        "sampled": not part.exact,
        "documents": sum(snapshot.documents.rows.values()),
        "documents_shown": len(content["samples"]),
    }


def _asked(snapshot: Snapshot, part: Part, number: int, seed: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """All figures and documents of a snapshot."""
    with database(entities=part.dataset, documents=snapshot.documents.dataset) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false")
        figures.weigh(connection, part.weight)
        tell("counting documents")
        content: dict[str, Any] = {
            "labels": snapshot.entities.rows_by_label(),
            "part": part,
            "seed": seed,
            "rows": sum(snapshot.entities.rows.values()),
            "statuses": figures.statuses(connection).to_pylist(),
            "years": figures.years(connection).to_pylist(),
            "rejected": figures.rejected(connection, UNREADABLE).to_pylist(),
            "broken": figures.broken(connection, UNREADABLE).to_pylist(),
        }
        tell("counting entities")
        figures.count_cells(connection)
        content |= {
            "sections": figures.sections(connection).to_pylist(),
            "scores": figures.scores(connection).to_pylist(),
        }
        tell("counting mentions")
        content["mentions_exact"] = part.exact
        if not part.exact and is_sorted_by_mention(part, snapshot.entities.label):
            connection.register("entities", snapshot.entities.dataset)
            figures.weigh(connection, whole(snapshot.entities).weight)
            content["mentions_exact"] = True
        content["mentions"] = figures.mentions(connection).to_pylist()
        tell("looking up documents to show")
        shown = samples.choose(connection, snapshot, number, seed, max(ROWS, part.exact * content["rows"]))
        return content | {"samples": shown}


def _runs(storage: Storage, output: str) -> dict[str, Any]:
    """The runs that made an output, the newest first, and the last that annotated anything."""
    at_work = lease.holder(storage, output)
    records = list(islice(read_records(storage, output), RUNS + 1))
    for record in records:
        if record["status"] == "running" and record["run_id"] != at_work:
            record["status"] = "killed"
    told = [record for record in records if record.get("account")]
    busy = [record for record in told if record["account"]["documents"]["annotated"]]
    return {"runs": records[:RUNS], "more_runs": len(records) > RUNS, "run": next(iter(busy or told), None)}


def render(content: Mapping[str, Any]) -> str:
    """The page of what was asked; see `_asked` and `_runs` for its parts."""
    looks = looks_of([*content["labels"], *(row["label"] for row in content["scores"])])
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
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
            made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            version=__version__,
        )
    )


def looks_of(names: Sequence[str]) -> list[Look]:
    """How labels are shown: the six in their order, then others; each has letters of its own."""
    known = [label.name for label in LABELS if label.name in names]
    meaning = {label.name: label.meaning for label in LABELS}
    looks: list[Look] = []
    for number, name in enumerate([*known, *sorted({*names} - {*known})]):
        ink, ground = STYLES.get(name, _OTHER[number % len(_OTHER)]).split(" on ")
        letters = re.sub("[^A-Za-z0-9]", "", name)
        options = [letters[:2], *(letters[:1] + letter for letter in letters[2:]), str(number)]
        mark = next(option for option in options if option and option not in {look.mark for look in looks})
        looks.append(Look(name, number, mark, ink, ground, meaning.get(name, "")))
    return looks


def every_year(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entities of each year from the first to the last, those without documents too; null years are left out."""
    found = {row["year"]: row["entities"] for row in rows if row["year"] is not None}
    years = range(min(found), max(found) + 1) if found else range(0)
    return [{"year": year, "entities": found.get(year, 0)} for year in years if len(years) <= 150 or year in found]


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


def _by_section(rows: Sequence[Mapping[str, Any]], looks: Sequence[Look]) -> list[tuple[str, list[int]]]:
    """A row a section, the largest first, and a column a label."""
    cells: dict[str, dict[str, int]] = {}
    for row in rows:
        cells.setdefault(row["section"], {})[row["label"]] = row["entities"]
    lines = [(section, [counts.get(look.name, 0) for look in looks]) for section, counts in cells.items()]
    return sorted(lines, key=lambda line: -sum(line[1]))


def _label_rules(looks: Sequence[Look]) -> str:
    """Style rules of labels; their letters are letters and digits alone."""
    return "".join(
        f'.l{look.number}{{--ink:{look.ink};--ground:{look.ground}}}.l{look.number}::after{{content:"{look.mark}"}}\n'
        for look in looks
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("craft_ray", "report_page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
    )
    environment.filters |= {"grouped": lambda number: f"{number:,.0f}", "estimated": _estimated, "as_json": json.dumps}
    return environment


def _estimated(number: float) -> str:
    """A number as it is written where its last digits mean nothing."""
    return f"≈ {float(f'{number:.3g}'):,.0f}"


def _packed(name: str) -> str:
    return resources.files("craft_ray").joinpath("report_page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a content security policy names a script or a style."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
