"""`craft-ray top`."""

from typing import Annotated, Any, cast

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, open_tables
from craft_ray.cli.rows import Csv, Limit, print_result


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
    print_result(rows, as_csv, as_json)
