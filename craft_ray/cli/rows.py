"""Rows of a query as a person or a program reads them: a table, CSV, or JSON. Nothing is cut where a program reads."""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.core.text import safe

if TYPE_CHECKING:
    import pyarrow as pa

Form = Literal["csv", "json", "json lines", "table"]

Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]

SHOWN = 100
"""Rows of a table on a terminal; more are only counted."""


def print_rows(rows: "pa.RecordBatchReader", form: Form) -> None:
    """Rows on stdout."""
    if form == "csv":
        import pyarrow.csv

        with pyarrow.csv.CSVWriter(sys.stdout.buffer, rows.schema) as writer:
            for batch in rows:
                writer.write_batch(batch)
    elif form == "json":
        print(json.dumps(rows.read_all().to_pylist(), default=str))
    elif form == "json lines":
        for row in _each(rows):
            print(json.dumps(row, default=str, ensure_ascii=False))
    else:
        print_table(Console(), rows)


def print_table(console: Console, rows: "pa.RecordBatchReader") -> None:
    """Rows in aligned columns.

    On a terminal, long cells are folded and only the first rows are shown, with the number of all. Elsewhere every cell
    of every row is there, on one line per row.
    """
    if console.is_terminal:
        _print_first(console, rows)
    else:
        _write_all(console, rows)


def _print_first(console: Console, rows: "pa.RecordBatchReader") -> None:
    table = Table(box=None, pad_edge=False)
    for field, right in zip(rows.schema, _numbers(rows.schema), strict=True):
        table.add_column(Text(safe(field.name)), justify="right" if right else "left", overflow="fold")
    every = _each(rows)
    for row in islice(every, SHOWN):
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    console.print(table, highlight=False)
    if not table.row_count:
        console.print("no rows", style="dim")
    if more := sum(1 for _ in every):
        note = f"{table.row_count:,} of {table.row_count + more:,} rows; --csv and --json print all"
        console.print(note, style="dim", highlight=False)


def _write_all(console: Console, rows: "pa.RecordBatchReader") -> None:
    schema = rows.schema
    lines = [[safe(name) for name in schema.names], *([_cell(value) for value in row.values()] for row in _each(rows))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = _numbers(schema)
    for line in lines:
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        )
        console.file.write("  ".join(cells).rstrip() + "\n")


def _each(rows: "pa.RecordBatchReader") -> Iterator[dict[str, Any]]:
    for batch in rows:
        yield from batch.to_pylist()


def _numbers(schema: "pa.Schema") -> list[bool]:
    import pyarrow as pa

    return [pa.types.is_integer(field.type) or pa.types.is_floating(field.type) for field in schema]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3f}"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else safe(str(value))
    return text.replace("\n", " ").replace("\t", " ")
