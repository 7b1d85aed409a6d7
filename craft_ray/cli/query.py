"""`craft-ray query`, and the database that `top` and `pairs` ask as well."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from craft_ray.cli.options import At, Output, SettingsFile, open_tables
from craft_ray.cli.rows import Csv, print_rows
from craft_ray.core.errors import SettingsError

if TYPE_CHECKING:
    import duckdb

Limit = Annotated[int, typer.Option("--limit", "-n", help="Rows to show.", min=1)]

EXAMPLES = """Examples:

    craft-ray query tables "SELECT label, count(*) FROM entities GROUP BY 1"

    craft-ray query tables "SELECT year, count(*) FROM entities JOIN documents USING (doc_id) GROUP BY 1" --csv

    craft-ray query tables --file question.sql --json
"""


def query(
    output: Output,
    sql: Annotated[
        str | None,
        typer.Argument(
            help="DuckDB's SQL over the views `entities`, `documents`, `shards`, `concepts` and `ancestors`.",
            metavar="SQL",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File with the SQL; - for standard input.", metavar="FILE")
    ] = None,
    at: At = None,
    as_csv: Csv = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per row.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Query the tables in SQL.

    On a terminal the first 100 rows are shown, with the number of all rows; elsewhere, and with `--csv` and `--json`,
    all are printed. A query reads the tables and nothing else: no file of this machine, no network.
    """
    import duckdb

    text = _text(sql, file)
    with database_of(output, at, settings) as (connection, _):
        try:
            found = connection.sql(text)
            if found is not None:  # None for a statement that gives no rows
                print_rows(found.to_arrow_reader(), "csv" if as_csv else "json lines" if as_json else "table")
        except duckdb.Error as error:
            raise _failed(_with_place(connection, text, error)) from error


def _text(sql: str | None, file: Path | None) -> str:
    """The SQL of an argument, a file, or standard input."""
    if (sql is None) == (file is None):
        raise SettingsError("give the SQL, or a file of it with --file")
    if file is None:
        return str(sql)
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {file}: {getattr(error, 'strerror', 'it is not UTF-8')}") from error


def _with_place(connection: "duckdb.DuckDBPyConnection", sql: str, error: "duckdb.Error") -> "duckdb.Error":
    """The error with its place in the query, which DuckDB tells where it executes one, and not where it plans one."""
    import duckdb

    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):  # nothing has been executed
        try:
            connection.execute(sql)
        except duckdb.Error as placed:
            return placed
    return error


def _failed(error: Exception) -> SettingsError:
    """DuckDB's message: its first line and what it proposes instead, and below them where in the query it is."""
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    at = next((number for number, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
    proposed = [line for line in lines[1:at] if line.startswith(("Did you mean", "Candidate"))]
    failed = SettingsError("; ".join([f"the query fails: {lines[0]}", *proposed]))
    failed.excerpt = "\n".join(lines[at : at + 2])
    return failed


@contextmanager
def database_of(
    output: str, at: str | None, settings: Path | None
) -> Iterator[tuple["duckdb.DuckDBPyConnection", list[str]]]:
    """A database with the views of an output, and the labels that the tables hold.

    Raises SettingsError if there are no tables, or no such state of them.
    """
    from craft_ray.tables.database import database, views
    from craft_ray.tables.snapshots import open_concepts, open_shards, open_snapshot

    storage, folder = open_tables(output, settings)
    snapshot = open_snapshot(storage, folder, at)
    others = {"shards": open_shards(storage, folder), **open_concepts(storage, folder)}
    with database(**views(snapshot), **others) as connection:
        yield connection, sorted(snapshot.entities.rows_by_label())
