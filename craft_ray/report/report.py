"""A report of an output as one page: figures, charts and documents in a file that needs nothing and asks for nothing.

All that comes from documents, files and records is escaped by the template, and what would turn text around is taken
out. The page's policy lets run the one script and the one style that are in it, and lets it fetch nothing.
"""

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import duckdb
import pyarrow as pa

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.schema import UNREADABLE
from craft_ray.report import documents as samples
from craft_ray.report import statistics as figures
from craft_ray.report.changes import compare
from craft_ray.report.page import render
from craft_ray.report.sampling import TableSample, all_rows, is_sorted_by_mention, sample
from craft_ray.storage.failures import as_settings_error, describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.database import database
from craft_ray.tables.records import read_record, runs_of
from craft_ray.tables.snapshots import Snapshot, before_last_change, open_snapshot

ROWS = 100_000_000
"""Entities up to which a report reads all; of larger tables it reads a sample of this size."""

COMPARED = 5_000_000
"""Rows in files that the state before the last change has not, or has alone, up to which a report compares the two."""

RUNS = 20
"""Runs that are listed."""

LOOKED_UP = 50
"""Records of older runs that are read for the models of their documents."""

MEMORY = "1GB"
"""Of the database; what needs more goes to disk."""


def write_report(
    storage: Storage,
    output: str,
    target: str,
    number: int = 12,
    seed: int = 0,
    at_most: int | None = ROWS,
    tell: Callable[[str], None] = lambda step: None,
    title: str | None = None,
) -> dict[str, Any]:
    """Write the page, and return what it was made of: path, bytes, seconds, rows, rows read and whether that is all.

    number:  documents to show
    at_most: entities to read, beyond which a sample is drawn; None to read all
    title:   the page's heading; names the output if None

    Raises SettingsError if there are no tables or the page cannot be written, RunError if the tables cannot be read.
    """
    began = time.monotonic()
    tell("opening the tables")
    snapshot = open_snapshot(storage, output)
    part = all_rows(snapshot.entities) if at_most is None else sample(snapshot.entities, at_most, seed)
    try:
        content = _asked(snapshot, part, number, seed, tell)
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise RunError(
            f"cannot read the tables of {output}: {describe(error)}; if a run has ended meanwhile, try again"
        ) from error
    tell("comparing with the run before")
    content |= {"changes": _changes(storage, output, snapshot)}
    tell("drawing")
    content |= _runs(storage, output, content.pop("by_run"))
    page = render(content | {"output": output, "number": number, "title": title}).encode()
    with as_settings_error(f"the page {target}"):
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


def _asked(
    snapshot: Snapshot, part: TableSample, number: int, seed: int, tell: Callable[[str], None]
) -> dict[str, Any]:
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
            "by_run": figures.by_run(connection),
            "rejected": figures.rejected(connection, UNREADABLE).to_pylist(),
            "broken": figures.broken(connection, UNREADABLE).to_pylist(),
        }
        tell("counting entities")
        figures.count_cells(connection)
        content |= {
            "sections": figures.sections(connection).to_pylist(),
            "scores": figures.scores(connection).to_pylist(),
            "expected": figures.expected(connection).to_pylist(),
        }
        tell("counting mentions")
        content["mentions_exact"] = part.exact
        if not part.exact and is_sorted_by_mention(part, snapshot.entities.label):
            connection.register("entities", snapshot.entities.dataset)
            figures.weigh(connection, all_rows(snapshot.entities).weight)
            content["mentions_exact"] = True
        content["mentions"] = figures.mentions(connection).to_pylist()
        content["doubtful"] = figures.doubtful(connection).to_pylist()
        content["grounded"] = figures.grounded(connection).to_pylist()
        content["concepts"] = figures.concepts(connection).to_pylist()
        tell("looking up documents to show")
        shown = samples.choose_documents(connection, snapshot, number, seed, max(ROWS, part.exact * content["rows"]))
        return content | {"samples": shown}


def _changes(storage: Storage, output: str, now: Snapshot) -> dict[str, Any] | str | None:
    """The changes by the last run that changed anything, or why they cannot be told; None without a state before.

    Files that both states have are not read. A compaction moves all rows to new files, and the rest is left to `diff`.
    """
    try:
        reference = before_last_change(storage, output)
    except SettingsError:  # the first run
        return None
    try:
        before = open_snapshot(storage, output, reference)
        pairs = ((before.documents, now.documents), (before.entities, now.entities))
        if sum(old.rows_not_in(new) + new.rows_not_in(old) for old, new in pairs) > COMPARED:
            return "Too many rows stand in other files than before: craft-ray diff compares the two states."
        return compare(before, now)
    except SettingsError:
        return "The state before is not kept: craft-ray annotate --keep-versions 1 keeps it for the next report."


def _runs(storage: Storage, output: str, by_run: dict[str, int]) -> dict[str, Any]:
    """The runs that made an output, the newest first, the last that annotated anything, and the models.

    by_run: annotated documents by run, the run of most first
    """
    records = list(islice(runs_of(storage, output), RUNS + 1))
    told = [record for record in records if record.get("account")]
    busy = [record for record in told if record["account"]["documents"]["annotated"]]
    return {
        "runs": records[:RUNS],
        "more_runs": len(records) > RUNS,
        "run": next(iter(busy or told), None),
        "models": _models(storage, output, by_run, {record["run_id"]: record for record in records}),
    }


def _models(
    storage: Storage, output: str, by_run: dict[str, int], records: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The models by which the documents are annotated, each with their number.

    records: those that are read already; of other runs those of most documents are read, LOOKED_UP of them
    """
    others = islice((run_id for run_id in by_run if run_id not in records), LOOKED_UP)
    records = records | {run_id: found for run_id in others if (found := read_record(storage, output, run_id))}
    models: dict[str, dict[str, Any]] = {}
    for run_id, documents in by_run.items():
        model = records.get(run_id, {}).get("model") or {"source": "not known", "fingerprint": ""}
        told = {"source": model["source"], "fingerprint": model["fingerprint"], "documents": 0}
        models.setdefault(model["fingerprint"], told)["documents"] += documents
    return list(models.values())
