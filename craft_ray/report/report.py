"""A report of an output as one self-contained HTML page.

The template escapes everything that comes from documents, files and records, and strips characters that change the text
direction. The page's content security policy allows its one script and its one style, and no requests.
"""

import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import duckdb
import pyarrow as pa

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.report.changes import compare
from craft_ray.report.documents import choose_documents
from craft_ray.report.page import render
from craft_ray.report.statistics import count_entities, figure, leading
from craft_ray.storage.failures import as_settings_error, describe
from craft_ray.tables.output import Output

MAX_ENTITIES = 100_000_000
"""Entities up to which a report reads all. Of larger tables it reads about as many as a sample."""

MAX_COMPARED = 5_000_000
"""Rows in files that changed since the last run, up to which a report compares the two states."""

MAX_RELATED = 10_000_000
"""Entities up to which the graph counts the sentences of all documents; of larger tables, of a share of them."""

RUNS_LISTED = 20

RUNS_LOOKED_UP = 50
"""Records of older runs that are read for the models of their documents."""

MEMORY_LIMIT = "1GB"
"""Memory of DuckDB; larger intermediate results go to disk."""

_SAMPLE = """
    CREATE TEMP VIEW entities AS
    SELECT * FROM all_entities TABLESAMPLE bernoulli({percent} PERCENT) REPEATABLE ({seed})
"""


def write_report(
    tables: Output,
    target: str,
    number: int = 12,
    seed: int = 0,
    max_entities: int | None = MAX_ENTITIES,
    progress: Callable[[str], None] = lambda step: None,
    title: str | None = None,
) -> dict[str, Any]:
    """Write the page, and return its path, size in bytes, seconds, and how many rows were read.

    number:       documents to show
    max_entities: entities beyond which a sample is read; None to read all
    progress:     called with the name of each step
    title:        heading of the page, by default the location of the output

    Raises SettingsError if the page cannot be written, and RunError if the tables cannot be read.
    """
    started = time.monotonic()
    try:
        content = _figures(tables, number, seed, max_entities, progress)
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        raise RunError(
            f"cannot read the tables of {tables.location}: {describe(error)}; if a run just finished, try again"
        ) from error
    progress("comparing with the run before")
    content["changes"] = _changes(tables)
    progress("drawing")
    content |= _runs(tables, {row["run_id"]: row["documents"] for row in content.pop("by_run")})
    page = render(content | {"output": tables.location, "number": number, "title": title}).encode()
    with as_settings_error(f"the page {target}"):
        tables.storage.write_bytes(target, page)
    return {
        "html": target,
        "bytes": len(page),
        "seconds": round(time.monotonic() - started, 1),
        "rows": content["rows"],
        "rows_read": content["rows_read"],
        "sampled": content["sampled"],
        "documents": len(tables.documents),
        "documents_shown": len(content["samples"]),
    }


def _figures(
    tables: Output, number: int, seed: int, max_entities: int | None, progress: Callable[[str], None]
) -> dict[str, Any]:
    """All that the page shows of the tables."""
    rows = len(tables.entities)
    share = 1.0 if max_entities is None or rows <= max_entities else max_entities / rows
    with tables.connect("documents") as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET preserve_insertion_order = false")
        connection.register("entities" if share == 1 else "all_entities", tables.entities.dataset)
        rows_read = rows
        if share < 1:
            progress("drawing a sample")
            connection.execute(_SAMPLE.format(percent=100 * share, seed=seed))
            (rows_read,) = connection.execute("SELECT count(*) FROM entities").fetchall()[0]
        progress("counting documents")
        content: dict[str, Any] = {
            "labels": tables.entities.rows_by_label(),
            "sampled": share < 1,
            "seed": seed,
            "rows": rows,
            "rows_read": rows_read,
        }
        for name in ("statuses", "years", "by_run", "rejected", "broken"):
            content[name] = figure(connection, name)
        progress("counting entities")
        count_entities(connection, rows / rows_read if rows_read else 1.0)
        for name in ("sections", "scores", "expected", "mentions", "doubtful", "grounded", "concepts"):
            content[name] = figure(connection, name)
        drawn = [[row["concept_id"] for row in leading(content["concepts"], each)] for each in (2, 4)]
        content["concept_years"] = figure(connection, "concept_years", ids=drawn[0], weight=rows / (rows_read or 1))
        # A sample of the entities does not hold both concepts of most sentences.
        content["every"] = -(-rows // MAX_RELATED)
        content["together"] = (
            figure(connection, "together", ids=drawn[1], every=content["every"]) if share == 1 and rows else []
        )
        progress("looking up documents to show")
        return content | {"samples": choose_documents(connection, tables, number, seed)}


def _changes(now: Output) -> dict[str, Any] | str | None:
    """The changes by the last run that changed anything, or why they are not shown; None if it was the first run.

    Files that both states have are not read. After a compaction all rows are in new files, and comparing would take
    too long.
    """
    try:
        run_id = now.run_before_last_change()
    except SettingsError:
        return None
    try:
        before = now.at(run_id)
        pairs = ((before.documents, now.documents), (before.entities, now.entities))
        if sum(old.rows_not_in(new) + new.rows_not_in(old) for old, new in pairs) > MAX_COMPARED:
            return "Too many files have changed since: craft-ray diff compares the two states."
        return compare(before, now)
    except SettingsError:
        return "The state before was not kept: craft-ray annotate --keep-versions 1 keeps it for the next report."


def _runs(tables: Output, by_run: Mapping[str, int]) -> dict[str, Any]:
    """The latest runs, the last one that annotated anything, and the models of all.

    by_run: number of annotated documents by run, largest first
    """
    records = list(islice(tables.runs(), RUNS_LISTED + 1))
    finished = [record for record in records if record.get("account")]
    busy = [record for record in finished if record["account"]["documents"]["annotated"]]
    return {
        "runs": records[:RUNS_LISTED],
        "more_runs": len(records) > RUNS_LISTED,
        "run": next(iter(busy or finished), None),
        "models": _models(tables, by_run, {record["run_id"]: record for record in records}),
    }


def _models(tables: Output, by_run: Mapping[str, int], records: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The models that annotated the documents, each with the number of its documents.

    records: records that have been read; of the other runs, those with most documents are looked up
    """
    others = islice((run_id for run_id in by_run if run_id not in records), RUNS_LOOKED_UP)
    records = {**records, **{run_id: record for run_id in others if (record := tables.run(run_id))}}
    models: dict[str, dict[str, Any]] = {}
    for run_id, documents in by_run.items():
        model = records.get(run_id, {}).get("model") or {"source": "not known", "fingerprint": ""}
        entry = {"source": model["source"], "fingerprint": model["fingerprint"], "documents": 0}
        models.setdefault(model["fingerprint"], entry)["documents"] += documents
    return list(models.values())
