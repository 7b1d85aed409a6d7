"""`craft-ray diff`."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from craft_ray.cli.console import add_row, console, plain_table
from craft_ray.cli.options import Json, Output, SettingsFile, open_tables

EXAMPLES = """Examples:

    craft-ray diff tables

    craft-ray diff tables --from 20261124T020000 --to 20261125T020000

    craft-ray diff tables --from 41 --to 57 --json
"""


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
    to: Annotated[
        str | None, typer.Option(help="Run id or version, as for --from.", metavar="V2", show_default="now")
    ] = None,
    top: Annotated[int, typer.Option(help="Mentions, and documents of each kind, to name.", min=0)] = 10,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Compare two states of an output, and explain why there are more or fewer entities of a label.

    Lists documents added, revised, deleted and so on, entities by label and by the change of their documents, and the
    mentions that gained and lost most. A run id stands for the state that the run left. Earlier states are available
    if runs kept them: `craft-ray annotate --keep-versions`.
    """
    changes = open_tables(output, settings, to).diff(from_, top=top)
    if as_json:
        print(json.dumps(changes))
    else:
        print_changes(console(), changes)


def print_changes(on: Console, changes: dict[str, Any]) -> None:
    """Print the result of `compare` without its empty parts."""
    from craft_ray.report.changes import KINDS

    documents = changes["documents"]
    older, newer = (_state(changes[side]) for side in ("from", "to"))
    on.print(f"from {older} to {newer}", markup=False)
    table = plain_table("documents", "", "")
    add_row(table, "before", f"{documents['before']:,}", "rows")
    for kind, meaning in KINDS.items():
        if documents[kind]:
            named = documents["examples"].get(kind, [])
            examples = ", ".join(named[:3]) + (", ..." if documents[kind] > 3 else "")
            add_row(table, kind.replace("_", " "), f"{documents[kind]:,}", f"{meaning}: {examples}")
    add_row(table, "after", f"{documents['after']:,}", "rows")
    on.print(table)
    table = plain_table("entities", "before", "after", "change", "")
    for label, row in changes["entities"].items():
        share = f" ({row['after'] / row['before'] - 1:+.1%})" if row["before"] else ""
        causes = ", ".join(f"{change:+,} {kind.replace('_', ' ')}" for kind, change in row["by_cause"].items())
        change = f"{row['after'] - row['before']:+,}{share}"
        add_row(table, label, f"{row['before']:,}", f"{row['after']:,}", change, causes)
    on.print(table)
    for side, mentions in changes["mentions"].items():
        if mentions:
            table = plain_table(f"mentions that {side} most", "", "")
            for row in mentions:
                add_row(table, row["mention"], f"{row['change']:+,}", row["label"])
            on.print(table)
    for side, concepts in changes["concepts"].items():
        if concepts:
            table = plain_table(f"concepts that {side} most", "", "", "")
            for row in concepts:
                add_row(table, row["concept"] or "", f"{row['change']:+,}", row["label"], row["concept_id"])
            on.print(table)


def _state(side: dict[str, Any]) -> str:
    version = f"version {side['versions']['documents']}"
    return f"{side['run_id']} ({version})" if side["run_id"] else version
