"""Commands about an output as a whole: `runs`, `diff`, `report`, `compact`."""

import json
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.cli.console import plain_table
from craft_ray.cli.options import Json, Output
from craft_ray.report.marking import safe

DIFF_EXAMPLES = """Examples:

    craft-ray diff tables

    craft-ray diff tables --from 20261124T020000 --to 20261125T020000

    craft-ray diff tables --from 41 --to 57 --json
"""


def runs(
    output: Output,
    limit: Annotated[int, typer.Option(help="Runs to list, the newest first.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """List the runs that made an output, with their counts.

    A run that was killed before it could say how it ended is `killed`, and `running` while it may still be at work.
    """
    from craft_ray.core.settings import load_settings
    from craft_ray.storage.addresses import absolute
    from craft_ray.storage.storage import Storage
    from craft_ray.tables.lease import holder
    from craft_ray.tables.records import read_records

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
    from craft_ray.core.settings import load_settings
    from craft_ray.report.changes import compare
    from craft_ray.storage.addresses import absolute
    from craft_ray.storage.storage import Storage
    from craft_ray.tables.snapshots import before_last_change, open_snapshot

    storage, output = Storage(load_settings().s3), absolute(output)
    older = open_snapshot(storage, output, from_ or before_last_change(storage, output))
    changes = compare(older, open_snapshot(storage, output, to), top)
    if as_json:
        print(json.dumps(changes))
    else:
        print_changes(Console(), changes)


def print_runs(console: Console, records: list[dict[str, Any]]) -> None:
    """Run records, a line each."""
    table = Table(box=None, pad_edge=False)
    counted = ("annotated", "rejected", "deleted", "unchanged", "superseded")
    for name in ("run", "status", *counted, "entities", "seconds", "version", "model"):
        table.add_column(name, justify="left" if name in ("run", "status", "model") else "right", no_wrap=name == "run")
    for record in records:
        account = record.get("account")
        figures = [f"{account['documents'][name]:,}" for name in counted] if account else [""] * len(counted)
        table.add_row(
            record["run_id"],
            record["status"],
            *figures,
            f"{sum(account['entities'].values()):,}" if account else "",
            f"{account['seconds']:,.0f}" if account else "",
            str(record.get("tables", {}).get("documents", "")),
            record["model"]["fingerprint"][:12],
        )
    console.print(table, highlight=False)


def print_changes(console: Console, changes: dict[str, Any]) -> None:
    """What `changes.compare` found, the empty parts left out."""
    from craft_ray.report.changes import KINDS

    documents = changes["documents"]
    older, newer = (_state(changes[side]) for side in ("from", "to"))
    console.print(f"from {older} to {newer}", highlight=False)
    table = plain_table("documents", "", "")
    table.add_row("before", f"{documents['before']:,}", "rows")
    for kind, meaning in KINDS.items():
        if documents[kind]:
            named = documents["examples"].get(kind, [])
            examples = ", ".join(named[:3]) + (", ..." if documents[kind] > 3 else "")
            table.add_row(kind.replace("_", " "), f"{documents[kind]:,}", f"{meaning}: {examples}")
    table.add_row("after", f"{documents['after']:,}", "rows")
    console.print(table, highlight=False)
    table = plain_table("entities", "before", "after", "change", "")
    for label, row in changes["entities"].items():
        share = f" ({row['after'] / row['before'] - 1:+.1%})" if row["before"] else ""
        causes = ", ".join(f"{change:+,} {kind.replace('_', ' ')}" for kind, change in row["by_cause"].items())
        change = f"{row['after'] - row['before']:+,}{share}"
        table.add_row(label, f"{row['before']:,}", f"{row['after']:,}", change, causes)
    console.print(table, highlight=False)
    for side, mentions in changes["mentions"].items():
        if mentions:
            table = plain_table(f"mentions that {side} most", "", "")
            for row in mentions:
                table.add_row(Text(safe(row["mention"])), f"{row['change']:+,}", row["label"])
            console.print(table, highlight=False)


def _state(side: dict[str, Any]) -> str:
    version = f"version {side['versions']['documents']}"
    return f"{side['run_id']} ({version})" if side["run_id"] else version
