"""`craft-ray compact`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from craft_ray.cli.console import add_row, plain_table, print_result
from craft_ray.cli.options import Json, Output, SettingsFile, locate_tables


def compact(
    output: Output,
    partition_by: Annotated[
        str | None,
        typer.Option(help="Partition `entities` by label, or label,year.", metavar="COLUMNS", show_default="as it is"),
    ] = None,
    sort: Annotated[str, typer.Option(help="Column to sort by: doc_id, mention or year.", metavar="COLUMN")] = "doc_id",
    file_mb: Annotated[int, typer.Option(help="Approximate size of files.", min=1)] = 128,
    keep_versions: Annotated[
        int | None, typer.Option(help="Earlier states of the tables to keep.", min=0, show_default="as the last run")
    ] = None,
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
    print_result(sizes, as_json, print_sizes)


def print_sizes(on: Console, sizes: Mapping[str, Any]) -> None:
    table = plain_table("table", "files before", "after", "MB before", "after", "rows")
    for name, size in sizes.items():
        before, after = size["before"], size["after"]
        add_row(
            table,
            name,
            f"{before['files']:,}",
            f"{after['files']:,}",
            f"{before['bytes'] / 1e6:,.1f}",
            f"{after['bytes'] / 1e6:,.1f}",
            f"{after['rows']:,}",
        )
    on.print(table)
