"""Commands about an output as a whole: `runs`, `diff`, `report`, `compact`."""

import json
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from craft_ray.commands.options import Json, Output

DIFF_EXAMPLES = """Examples:

    craft-ray diff tables

    craft-ray diff tables --from 20261124T020000 --to 20261125T020000

    craft-ray diff tables --from 41 --to 57 --json
"""

REPORT_EXAMPLES = """Examples:

    craft-ray report tables --html report.html

    craft-ray report s3://bucket/tables --html s3://bucket/reports/today.html --samples 30
"""


def runs(
    output: Output,
    limit: Annotated[int, typer.Option(help="Runs to list, the newest first.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """List the runs that made an output, with their counts.

    A run that was killed before it could say how it ended is `killed`, and `running` while it may still be at work.
    """
    from craft_ray.lease import holder
    from craft_ray.runs import read_records
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage, absolute
    from craft_ray.terminal import print_runs

    storage, output = Storage(load_settings().s3), absolute(output)
    at_work = holder(storage, output)
    records = list(islice(read_records(storage, output), limit))
    for record in records:
        if record["status"] == "running" and record["run_id"] != at_work:
            record["status"] = "killed"
    if as_json:
        print(json.dumps(records))
    else:
        console = Console()
        print_runs(Console(width=max(console.width, 140)), records)


def diff(
    output: Output,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Run id (or its beginning), or version of `documents`.",
            metavar="V1",
            show_default="before the last change",
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(help="Likewise.", metavar="V2", show_default="now")] = None,
    top: Annotated[int, typer.Option(help="Mentions, and documents of each kind, to name.", min=0)] = 10,
    as_json: Json = False,
) -> None:
    """Tell what changed between two states of an output, and why there are more or fewer entities of a label.

    Documents added, revised, deleted and so on; entities by label and by what became of their documents; the mentions
    that gained and lost most. A run id stands for the state that the run left. Earlier states are there where runs have
    kept them: `craft-ray annotate --keep-versions`.
    """
    from craft_ray.changes import compare
    from craft_ray.settings import load_settings
    from craft_ray.snapshots import before_last_change, open_snapshot
    from craft_ray.storage import Storage, absolute
    from craft_ray.terminal import print_changes

    storage, output = Storage(load_settings().s3), absolute(output)
    older = open_snapshot(storage, output, from_ or before_last_change(storage, output))
    changes = compare(older, open_snapshot(storage, output, to), top)
    if as_json:
        print(json.dumps(changes))
    else:
        print_changes(Console(), changes)


def report(
    output: Output,
    html: Annotated[str, typer.Option(help="The page, on disk or s3://; written over if it is there.", metavar="FILE")],
    samples: Annotated[int, typer.Option(help="Documents to show with their entities marked.", min=0, max=200)] = 12,
    seed: Annotated[int, typer.Option(help="Which documents are shown, and which rows are read of large tables.")] = 0,
    exact: Annotated[
        bool, typer.Option("--exact", help="Read all entities, also where there are more than 100 million.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a page about an output that a mail can carry: what ran, what was found, and documents to look at.

    One HTML file that needs no network: documents by what became of them, entities by label, section, year and score,
    the most frequent mentions with their spellings, how fast the run was, what was rejected and why, and some documents
    with their entities marked. Of more than 100 million entities it reads a sample for sections, scores and mentions,
    and says so.
    """
    from craft_ray.report import ROWS, write_report
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage, absolute

    console = Console(stderr=True)
    written = write_report(
        Storage(load_settings().s3),
        absolute(output),
        absolute(html),
        samples,
        seed,
        None if exact else ROWS,
        tell=lambda step: console.print(step, style="dim"),
    )
    if as_json:
        print(json.dumps(written))
    else:
        read = f"{written['rows_read']:,} of {written['rows']:,}" if written["sampled"] else f"all {written['rows']:,}"
        print(f"{written['html']}: {written['bytes'] / 1e6:.1f} MB, {read} entities read in {written['seconds']} s")


def compact(
    output: Output,
    partition_by: Annotated[
        str | None,
        typer.Option(help="Partition `entities` by label, or label,year.", metavar="COLUMNS", show_default="as it is"),
    ] = None,
    sort: Annotated[str, typer.Option(help="doc_id, mention or year.", metavar="COLUMN")] = "doc_id",
    file_mb: Annotated[int, typer.Option(help="Size that files are to have, about.", min=1)] = 128,
    keep_versions: Annotated[
        int | None, typer.Option(help="Earlier states of the tables to keep.", min=0, show_default="0")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rewrite the tables so that questions read little: sorted, in large files, partitioned as asked.

    A question about one document reads a file where the tables are sorted by doc_id, one about a label of one year only
    its partition where they are partitioned so. No row changes, and runs go on in the new layout; not while one is at
    work (exit code 4).
    """
    from craft_ray.compaction import compact as run
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage, absolute
    from craft_ray.terminal import print_sizes

    columns = partition_by.split(",") if partition_by else None
    settings = load_settings(keep_versions=keep_versions)
    sizes = run(Storage(settings.s3), absolute(output), columns, sort, file_mb << 20, settings.keep_versions)
    if as_json:
        print(json.dumps(sizes))
    else:
        print_sizes(Console(), sizes)
