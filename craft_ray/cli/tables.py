"""Commands about the tables as a whole: `runs`, `rejected`, `report`, `verify`, `compact` and `ground`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from craft_ray.cli.console import add_row, console, keep_exit_code, plain_table, print_result, print_status
from craft_ray.cli.options import (
    At,
    Json,
    KeepVersions,
    Output,
    Quiet,
    SettingsFile,
    choice,
    locate_tables,
    open_storage,
    open_tables,
    similar_output,
)
from craft_ray.cli.rows import Csv, Limit, print_answer
from craft_ray.core.errors import SettingsError
from craft_ray.core.text import one_line

if TYPE_CHECKING:
    import pyarrow as pa

EXAMPLES = {
    "rejected": (
        "craft-ray rejected tables",
        "craft-ray rejected tables --reason bad_xml --csv > rejected.csv",
        "craft-ray rejected tables --retry",
    ),
    "report": (
        "craft-ray report tables --html report.html",
        "craft-ray report s3://bucket/tables --html s3://bucket/reports/today.html --samples 30",
    ),
    "ground": (
        "craft-ray ground tables --ontology chebi.obo.gz --keep-versions 1",
        "craft-ray diff tables",
    ),
}


def runs(
    output: Output,
    limit: Annotated[int, typer.Option(help="Runs to list, the newest first.", min=1)] = 20,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List the runs that wrote to an output, with their counts.

    A run that ended without recording its result is `killed`. It is `running` as long as it may still be alive.
    """
    from craft_ray.tables.records import runs_of

    storage, location = open_storage(output, settings)
    records = list(islice(runs_of(storage, location), limit))
    if not records:
        hint = f"`craft-ray annotate INPUT --output {output}` does"
        raise SettingsError(f"no run has written to {output}: {hint}{similar_output(location)}")
    if as_json:
        print(json.dumps(records))
        return
    print_answer(run_rows(records), as_csv)
    if not as_csv:
        sources = {record["model"]["fingerprint"][:12]: record["model"]["source"] for record in records}
        for fingerprint, source in sources.items():
            console().print(one_line(f"model {fingerprint}: {source}"), style="dim", soft_wrap=True)


def run_rows(records: Sequence[Mapping[str, Any]]) -> "pa.Table":
    """A row per run record, with what is asked for most on the left."""
    import pyarrow as pa

    rows = []
    for record in records:
        account = record.get("account") or {"documents": {}, "entities": {}}
        documents = account["documents"]
        rows.append(
            {
                "run": record["run_id"],
                "status": record["status"],
                "annotated": documents.get("annotated"),
                "entities": sum(account["entities"].values()) if documents else None,
                "rejected": documents.get("rejected"),
                "seconds": round(account["seconds"]) if documents else None,
                "deleted": documents.get("deleted"),
                "unchanged": documents.get("unchanged"),
                "superseded": documents.get("superseded"),
                "version": record.get("tables", {}).get("documents"),
                "model": record["model"]["fingerprint"][:12],
            }
        )
    schema = pa.schema([(name, pa.string() if name in ("run", "status", "model") else pa.int64()) for name in rows[0]])
    return pa.Table.from_pylist(rows, schema)


def rejected(
    output: Output,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only documents rejected for this reason.", show_default="all")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Let the next `annotate` read their files again even if unchanged.")
    ] = False,
    limit: Limit = 100,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List rejected documents and broken shards with the reasons.

    An id that ends in `#unreadable` represents the rest of a damaged file. The next `annotate` over the same inputs
    retries documents whose reason is `failed` or `unreadable`. A document rejected for its content is retried when its
    file or the version of craft_ray has changed, or after `--retry`.
    """
    from craft_ray.core.schema import REASONS
    from craft_ray.report.queries import rejected_documents
    from craft_ray.tables.reprocess import mark_for_reprocessing

    if reason is not None:
        choice("--reason", reason, *REASONS)
    if retry:
        names = mark_for_reprocessing(*locate_tables(output, settings), reason)
        text = f"the next `craft-ray annotate` reads {len(names):,} files again, where they are among its inputs"
        print(json.dumps({"to_read_again": names}) if as_json else text)
        return
    with open_tables(output, settings, at).connect("documents") as connection:
        rows = rejected_documents(connection, reason, limit)
    print_answer(rows, as_csv, as_json)


def report(
    output: Output,
    html: Annotated[
        str,
        typer.Option("--html", "-o", help="The page, on disk or s3://; replaced if it exists.", metavar="FILE"),
    ],
    samples: Annotated[int, typer.Option(help="Documents to show with their entities marked.", min=0, max=200)] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the choice of documents, and of the sample of large tables.")] = 0,
    exact: Annotated[
        bool, typer.Option("--exact", help="Read all entities even if there are more than 100 million.")
    ] = False,
    title: Annotated[
        str | None, typer.Option(help="Heading of the page.", show_default="the folder of the tables")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Write a report of an output as one HTML page, small enough to mail.

    The page needs no network. It counts documents by status, and entities by label, section, year and score. It lists
    the most frequent mentions with their spellings, the rejected documents with the reasons, the changes since the run
    before if that state was kept (`--keep-versions`), and the speed of the run. It shows some documents with their
    entities marked. If there are more than 100 million entities, figures of sections, scores and mentions are estimated
    from a sample, and the page says so.
    """
    show = (lambda step: None) if quiet else partial(print_status, console(stderr=True))
    tables = open_tables(output, settings)
    written = tables.report(html, samples=samples, seed=seed, exact=exact, title=title, progress=show)
    if as_json:
        print(json.dumps(written))
    elif not quiet:
        read = f"{written['rows_read']:,} of {written['rows']:,}" if written["sampled"] else f"all {written['rows']:,}"
        print(f"{written['html']}: {written['bytes'] / 1e6:.1f} MB, {read} entities read in {written['seconds']} s")


def verify(
    output: Output,
    documents: Annotated[
        int | None,
        typer.Option(help="Documents to check the offsets of, drawn at random.", min=1, show_default="all"),
    ] = None,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Check the tables against what they promise, row by row and file by file.

    Reads everything and writes nothing. Prints one line per check, with the first ten faults of each, and ends with
    exit code 1 if there are any.
    """
    from craft_ray.tables.verify import verify

    keep_exit_code()
    storage, location = locate_tables(output, settings)
    checks = []
    on = console(stderr=as_json)
    for check in verify(storage, location, documents):
        checks.append(check)
        found = f"{check.faults:,} faults" if check.faults else "ok"
        on.print(one_line(f"{found:>10}  {check.claim} ({check.checked:,})"), style="red" if check.faults else None)
        for example in check.examples:
            on.print(one_line(f"            {example}"), soft_wrap=True)
    faults = sum(check.faults for check in checks)
    if as_json:
        print(json.dumps({"output": location, "faults": faults, "checks": [asdict(check) for check in checks]}))
    if faults:
        raise typer.Exit(1)


def compact(
    output: Output,
    partition_by: Annotated[
        str | None,
        typer.Option(help="Partition `entities` by label, or label,year.", metavar="COLUMNS", show_default="as it is"),
    ] = None,
    sort: Annotated[str, typer.Option(help="Column to sort by: doc_id, mention or year.", metavar="COLUMN")] = "doc_id",
    file_mb: Annotated[int, typer.Option(help="Approximate size of files.", min=1)] = 128,
    keep_versions: KeepVersions = None,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Rewrite the tables for fast queries: sorted, in large files, partitioned.

    Sorted by doc_id, a query for one document reads one file. Partitioned by label and year, a query for a label in one
    year reads only that partition. Rows do not change, and later runs keep the layout. Refused with exit code 4 while a
    run is writing to the output.
    """
    from craft_ray.core.settings import load_settings
    from craft_ray.tables.compaction import compact as run

    chosen = load_settings(settings, keep_versions=keep_versions)
    columns = partition_by.split(",") if partition_by else None
    sizes = run(*locate_tables(output, chosen), columns, sort, file_mb << 20, chosen.keep_versions)
    print_result(sizes, as_json, _print_sizes)


def _print_sizes(on: Console, sizes: Mapping[str, Any]) -> None:
    table = plain_table("table", "files before", "after", "MB before", "after", "rows", "")
    for name, size in sizes.items():
        states = size["before"], size["after"]
        files = (f"{state['files']:,}" for state in states)
        megabytes = (f"{state['bytes'] / 1e6:,.1f}" for state in states)
        add_row(table, name, *files, *megabytes, f"{size['after']['rows']:,}")
    on.print(table)


def ground(
    output: Output,
    ontology: Annotated[
        list[str] | None,
        typer.Option(
            help="Ontology or compiled lexicon, on disk or s3://; repeatable.",
            metavar="FILE",
            show_default="the lexicon that ships",
        ),
    ] = None,
    keep_versions: KeepVersions = None,
    quiet: Quiet = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Replace the concept ids of an output's entities, without the model.

    No entity is added or removed, and all ids change in one commit. After an interruption, the same command continues
    with the files that are left.
    """
    from craft_ray.annotation.ground import ground as run
    from craft_ray.core.settings import load_settings

    chosen = load_settings(settings, ontology=ontology, keep_versions=keep_versions)
    locate_tables(output, chosen)
    if not chosen.concepts:
        raise SettingsError("the settings switch concepts off, so there is nothing to ground with")
    summary = run(output, chosen)
    if as_json:
        print(json.dumps(summary))
    elif not quiet:
        print(f"{summary['entities']:,} entities in {summary['files']:,} new files: {summary['status']}")
