"""`craft-ray top`, `craft-ray pairs` and `craft-ray diff`."""

from typing import Annotated, Any, cast

import typer
from rich.console import Console

from craft_ray.cli.console import add_row, plain_table, print_result
from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, open_tables
from craft_ray.cli.rows import Csv, Limit, print_answer
from craft_ray.core.errors import SettingsError

EXAMPLES = {
    "diff": (
        "craft-ray diff tables",
        "craft-ray diff tables --from 20261124T020000 --to 20261125T020000",
        "craft-ray diff tables --from 41 --to 57 --json",
    )
}


def top(
    output: Output,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Only this label; repeatable.", show_default="all")
    ] = None,
    under: Annotated[
        list[str] | None,
        typer.Option(
            help="Only concepts that are this class or one below it, as CHEBI:35341 or MESH:D013256; repeatable.",
            metavar="ID",
        ),
    ] = None,
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Count concepts with all their spellings, not mentions.")
    ] = False,
    by: Annotated[
        str, typer.Option(help="Sort by mentions or documents, or count each year.", metavar="WHAT")
    ] = "mentions",
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List the most frequent mentions, or with `--concepts` and `--under` the most frequent concepts."""
    by = choice("--by", by, "mentions", "documents", "year")
    tables = open_tables(output, settings, at)
    rows = tables.top(label or (), under=under or (), concepts=concepts, by=cast(Any, by), limit=limit)
    print_answer(rows, as_csv, as_json)


def pairs(
    output: Output,
    labels: Annotated[str, typer.Option(help="Two labels, as Chemical,Protein.", metavar="LABEL,LABEL")],
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Pair concepts with all their spellings, not mentions.")
    ] = False,
    by: Annotated[str, typer.Option(help="Sort by lift, npmi, sentences or documents.", metavar="WHAT")] = "lift",
    within: Annotated[
        str, typer.Option(help="What a pair must share: a sentence or a document.", metavar="UNIT")
    ] = "sentence",
    at_least: Annotated[int, typer.Option(help="Sentences or documents that a pair must share.", min=1)] = 3,
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List mentions that occur together in a sentence.

    `lift` is how much more often two mentions share a sentence than if they were independent, among the sentences that
    have any mention. It is highest for rare mentions. `npmi`, the normalized pointwise mutual information, is 0 for
    independent mentions and 1 for two that only occur together.
    """
    first, *others = labels.split(",")
    if len(others) != 1:
        raise SettingsError(f"--labels {labels}: give two labels, as Chemical,Protein")
    within = choice("--within", within, "sentence", "document")
    by = choice("--by", by, "lift", "npmi", "documents", *(["sentences"] if within == "sentence" else []))
    options: dict[str, Any] = {"concepts": concepts, "by": by, "within": within, "at_least": at_least, "limit": limit}
    print_answer(open_tables(output, settings, at).pairs(first, *others, **options), as_csv, as_json)


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
    print_result(open_tables(output, settings, to).diff(from_, top=top), as_json, print_changes)


def print_changes(on: Console, changes: dict[str, Any]) -> None:
    """Print the result of `compare` without its empty parts."""
    from craft_ray.report.changes import KINDS

    older, newer = (_state(changes[side]) for side in ("from", "to"))
    on.print(f"from {older} to {newer}", markup=False)
    documents = changes["documents"]
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
    for what, name in (("mentions", "mention"), ("concepts", "concept")):
        for side, rows in changes[what].items():
            if rows:
                table = plain_table(f"{what} that {side} most", "", "")
                for row in rows:
                    about = f"{row['label']} {row.get('concept_id', '')}".rstrip()
                    add_row(table, row[name] or "", f"{row['change']:+,}", about)
                on.print(table)


def _state(side: dict[str, Any]) -> str:
    version = f"version {side['versions']['documents']}"
    return f"{side['run_id']} ({version})" if side["run_id"] else version
