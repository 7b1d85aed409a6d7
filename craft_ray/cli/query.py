"""Commands that look at documents and mentions: `show`, `query`, `top`, `pairs`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.cli.options import At, Json, Output
from craft_ray.core.errors import SettingsError
from craft_ray.report.marking import safe

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


Limit = Annotated[int, typer.Option(help="Rows to show.", min=1)]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]

QUERY_EXAMPLES = """Examples:

    craft-ray query tables "SELECT label, count(*) FROM entities GROUP BY 1"

    craft-ray query tables "SELECT year, count(*) FROM entities JOIN documents USING (doc_id) GROUP BY 1" --csv
"""


def query(
    output: Output,
    sql: Annotated[str, typer.Argument(help="DuckDB's SQL over the views `entities` and `documents`.", metavar="SQL")],
    at: At = None,
    as_csv: Csv = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a row.")] = False,
) -> None:
    """Ask an output anything, in SQL."""
    import duckdb

    with _opened(output, at) as connection:
        try:
            found = connection.sql(sql)
            rows = found.to_arrow_table() if found is not None else None  # None for a statement that gives no rows
        except duckdb.Error as error:
            raise SettingsError(f"the query fails: {str(error).splitlines()[0]}") from error
    if rows is not None:
        _print_rows(rows, "csv" if as_csv else "json lines" if as_json else "table")


def top(
    output: Output,
    label: Annotated[list[str] | None, typer.Option(help="Only of this label; repeatable.", show_default="all")] = None,
    by: Annotated[str, typer.Option(help="Count mentions or documents.", metavar="WHAT")] = "mentions",
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List the most frequent mentions."""
    from craft_ray.report.queries import top_mentions

    labels = [_label(name) for name in label or ()]
    with _opened(output, at) as connection:
        rows = top_mentions(connection, labels, _choice("--by", by, "mentions", "documents"), limit)
    _print_rows(rows, "csv" if as_csv else "json" if as_json else "table")


def pairs(
    output: Output,
    labels: Annotated[str, typer.Option(help="Two labels, as Chemical,Protein.", metavar="LABEL,LABEL")],
    by: Annotated[str, typer.Option(help="Sort by lift, or by sentences.", metavar="WHAT")] = "lift",
    at_least: Annotated[int, typer.Option(help="Sentences in which a pair must stand.", min=1)] = 3,
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List what is mentioned together in a sentence.

    lift tells how much more often two mentions stand in one sentence than chance would have it, among the sentences
    that mention anything.
    """
    from craft_ray.report.queries import pairs as run

    first, comma, second = labels.partition(",")
    if not comma or "," in second:
        raise SettingsError(f"--labels {labels}: give two labels, as Chemical,Protein")
    with _opened(output, at) as connection:
        rows = run(connection, _label(first), _label(second), _choice("--by", by, "lift", "sentences"), at_least, limit)
    _print_rows(rows, "csv" if as_csv else "json" if as_json else "table")


@contextmanager
def _opened(output: str, at: str | None) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A database with the views of an output."""
    from craft_ray.core.settings import load_settings
    from craft_ray.storage.addresses import absolute
    from craft_ray.storage.storage import Storage
    from craft_ray.tables.database import database, views
    from craft_ray.tables.snapshots import open_snapshot

    snapshot = open_snapshot(Storage(load_settings().s3), absolute(output), at)
    with database(**views(snapshot)) as connection:
        yield connection


def _label(name: str) -> str:
    from craft_ray.core.labels import canonical

    return canonical(name.strip())


def _choice(option: str, given: str, *known: str) -> str:
    if given not in known:
        raise SettingsError(f"{option} {given}: choose {' or '.join(known)}")
    return given


def _print_rows(rows: "pa.Table", form: Literal["csv", "json", "json lines", "table"]) -> None:

    if form == "csv":
        import sys

        import pyarrow.csv

        pyarrow.csv.write_csv(rows, sys.stdout.buffer)
    elif form == "json":
        print(json.dumps(rows.to_pylist(), default=str))
    elif form == "json lines":
        for row in rows.to_pylist():
            print(json.dumps(row, default=str, ensure_ascii=False))
    else:
        print_rows(Console(), rows)


def print_rows(console: Console, rows: "pa.Table") -> None:
    """A table of any columns."""
    import pyarrow as pa

    table = Table(box=None, pad_edge=False)
    for column in rows.schema:
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        table.add_column(safe(column.name), justify="right" if number else "left")
    for row in rows.to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table, highlight=False)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, float):
        return Text(f"{value:,.3f}")
    return Text(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else safe(str(value)))
