"""`craft-ray top`."""

from typing import Annotated

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, known_labels
from craft_ray.cli.query import Limit, database_of
from craft_ray.cli.rows import Csv, print_rows


def top(
    output: Output,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Only this label; repeatable.", show_default="all")
    ] = None,
    by: Annotated[str, typer.Option(help="Count mentions or documents.", metavar="WHAT")] = "mentions",
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List the most frequent mentions."""
    from craft_ray.report.queries import top_mentions

    by = choice("--by", by, "mentions", "documents")
    with database_of(output, at, settings) as (connection, held):
        rows = top_mentions(connection, known_labels(label or [], held), by, limit)
        print_rows(rows.to_reader(), "csv" if as_csv else "json" if as_json else "table")
