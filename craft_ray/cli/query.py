"""`craft-ray query`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from craft_ray.cli.options import At, Output, SettingsFile, open_tables
from craft_ray.cli.rows import Csv, ExcelSafe, print_rows
from craft_ray.core.errors import SettingsError

if TYPE_CHECKING:
    import duckdb

EXAMPLES = {
    "query": (
        'craft-ray query tables "SELECT label, count(*) FROM entities GROUP BY 1"',
        'craft-ray query tables "SELECT year, count(*) FROM entities JOIN documents USING (doc_id) GROUP BY 1" --csv',
        "craft-ray query tables --file question.sql --json",
    )
}

_BATCH_ROWS = 10_000


def query(
    output: Output,
    sql: Annotated[
        str | None,
        typer.Argument(
            help="DuckDB SQL over the views `entities`, `documents`, `shards`, `concepts`, `ancestors` and `xrefs`.",
            metavar="SQL",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File with the SQL, or - for standard input.", metavar="FILE")
    ] = None,
    at: At = None,
    as_csv: Csv = False,
    excel_safe: ExcelSafe = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per row.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Query the tables in SQL.

    A terminal shows the first 100 rows and the number of all. A pipe, `--csv` and `--json` get every row. A query reads
    the tables and nothing else: neither files of this machine nor the network.
    """
    import duckdb

    if excel_safe and not as_csv:
        raise SettingsError("--excel-safe goes with --csv")
    text = _sql(sql, file)
    with open_tables(output, settings, at).connect() as connection:
        try:
            result = connection.sql(text)
            if result is not None:  # None for a statement without a result
                rows = result.to_arrow_reader(_BATCH_ROWS)
                print_rows(rows, "csv" if as_csv else "json lines" if as_json else "table", excel_safe)
        except duckdb.Error as error:
            raise _query_error(_with_position(connection, text, error)) from error


def _sql(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise SettingsError("give the SQL, or a file of it with --file")
    if file is None:
        return str(sql)
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {file}: {getattr(error, 'strerror', 'it is not UTF-8')}") from error


def _with_position(connection: "duckdb.DuckDBPyConnection", sql: str, error: "duckdb.Error") -> "duckdb.Error":
    """The same error with the line it points to, which DuckDB reports when executing a query but not when planning."""
    import duckdb

    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):  # nothing has been executed
        try:
            connection.execute(sql)
        except duckdb.Error as positioned:
            return positioned
    return error


def _query_error(error: Exception) -> SettingsError:
    """The first line of DuckDB's message with its suggestions; `excerpt` shows the position in the query."""
    lines = [line.rstrip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    at = next((i for i, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
    suggestions = [line for line in lines[1:at] if line.startswith(("Did you mean", "Candidate"))]
    failed = SettingsError("; ".join([f"the query fails: {lines[0]}", *suggestions]))
    failed.excerpt = "\n".join(lines[at : at + 2])
    return failed
