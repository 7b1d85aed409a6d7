"""Rows of a query on stdout: a table, CSV, or JSON."""

import codecs
import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.core.text import FORMULA, safe

if TYPE_CHECKING:
    import pyarrow as pa

Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
ExcelSafe = Annotated[
    bool,
    typer.Option("--excel-safe", help="In CSV, put ' before what a spreadsheet takes for a formula (=, +, -, @)."),
]
Limit = Annotated[int, typer.Option("--limit", "-n", help="Rows to show.", min=1)]

TERMINAL_ROWS = 100
"""Rows that a terminal shows; more are only counted."""

MAX_BROKEN, MAX_WORD = 20, 40
"""Longest word of a text that is not broken, and widest column of single words before others have what they need."""

GAP = 2
"""Spaces between the columns of a terminal."""

_MEASURED_ROWS = 1_000
"""Rows whose cells determine the column widths in a pipe."""


def print_answer(rows: "pa.Table", as_csv: bool, as_json: bool = False) -> None:
    """Print a short result; as JSON, one array."""
    if as_json and not as_csv:
        print(json.dumps(rows.to_pylist(), default=str))
    else:
        print_rows(rows.to_reader(), "csv" if as_csv else "table")


def print_rows(
    rows: "pa.RecordBatchReader", form: Literal["csv", "json lines", "table"], excel_safe: bool = False
) -> None:
    """Print a result of any length, a batch at a time. What a terminal gets has no control characters."""
    if form == "csv":
        import pyarrow as pa
        import pyarrow.csv

        sink = _SafeTerminal() if sys.stdout.isatty() else sys.stdout.buffer
        names = [field.with_type(pa.string()) if pa.types.is_nested(field.type) else field for field in rows.schema]
        with pyarrow.csv.CSVWriter(sink, pa.schema(names)) as writer:
            for batch in rows:
                flat = _with_nested_as_json(batch)
                writer.write_batch(_without_formulas(flat) if excel_safe else flat)
    elif form == "json lines":
        for batch in rows:
            for row in batch.to_pylist():
                line = json.dumps(row, default=str, ensure_ascii=False)
                print(safe(line) if sys.stdout.isatty() else line)
    else:
        print_table(Console(), rows)


def _with_nested_as_json(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """Replace lists and structs, for which CSV has no form, by their JSON."""
    import pyarrow as pa

    for index, field in enumerate(batch.schema):
        if pa.types.is_nested(field.type):
            values = [
                None if value is None else json.dumps(value, default=str, ensure_ascii=False)
                for value in batch[index].to_pylist()
            ]
            batch = batch.set_column(index, field.with_type(pa.string()), pa.array(values, pa.string()))
    return batch


def _without_formulas(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    import pyarrow as pa
    import pyarrow.compute as pc

    for index, field in enumerate(batch.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column = pc.replace_substring_regex(batch.column(index), f"({FORMULA})", r"'\1")
            batch = batch.set_column(index, field, column)
    return batch


class _SafeTerminal(io.RawIOBase):
    """Writes UTF-8 to the terminal without control characters."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")().decode

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        sys.stdout.write(safe(self._decode(content)))
        return len(content)


def print_table(console: Console, rows: "pa.RecordBatchReader", hint: str = "--csv and --json print all") -> None:
    """Print rows in aligned columns.

    A terminal shows the first rows, with long texts folded between words, and the columns that fit; a line below counts
    the others. Elsewhere every row is one line with whole cells. Columns are then as wide as the cells of the first
    rows; a longer cell further down shifts its line.

    hint: how to see what a terminal does not show
    """
    if console.is_terminal:
        _print_first(console, rows, hint)
    else:
        _print_all(console, rows)


def _print_first(console: Console, rows: "pa.RecordBatchReader", hint: str) -> None:
    names = [safe(name) for name in rows.schema.names]
    first: list[list[str]] = []
    total = 0
    for batch in rows:
        first.extend(_cells(batch.slice(0, TERMINAL_ROWS - len(first))))
        total += batch.num_rows
    widths = fitting_widths([names, *first], console.width)
    table = Table(box=None, pad_edge=False)
    for name, right, width in zip(names, _are_numbers(rows.schema), widths, strict=False):
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold", width=width)
    for cells in first:
        table.add_row(*map(Text, cells[: len(widths)]))
    console.print(table, highlight=False)
    if not total:
        console.print("no rows", style="dim")
    left_out = [f"{len(first):,} of {total:,} rows"] if total > len(first) else []
    if hidden := names[len(widths) :]:
        left_out.append(f"without the columns {', '.join(hidden)}")
    if left_out:
        console.print(f"{'; '.join(left_out)}; {hint}", style="dim", highlight=False)


def fitting_widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Widths of the columns that fit side by side into a width, from the left; one at least.

    A column of single words, such as ids and numbers, is as wide as the longest up to MAX_WORD. Texts share the rest
    and are folded between words.
    """
    columns = list(zip(*rows, strict=True))
    natural = [max(map(cell_len, column)) for column in columns]
    words = [max(cell_len(word) for cell in column for word in cell.split(" ")) for column in columns]
    texts = [word < size for word, size in zip(words, natural, strict=True)]
    widths = [min(word, MAX_BROKEN if text else MAX_WORD) for word, text in zip(words, texts, strict=True)]
    count = max(1, sum(end + GAP * i <= width for i, end in enumerate(accumulate(widths))))
    widths = widths[:count]
    left = width - sum(widths) - GAP * (count - 1)
    for rank, i in enumerate(sorted(range(count), key=lambda i: natural[i] - widths[i])):
        more = max(0, min(natural[i] - widths[i], left // (count - rank)))
        widths[i], left = widths[i] + more, left - more
    return [min(size, width) for size in widths]


def _print_all(console: Console, rows: "pa.RecordBatchReader") -> None:
    lines = chain.from_iterable(map(_cells, rows))
    first = [[safe(name) for name in rows.schema.names], *islice(lines, _MEASURED_ROWS)]
    widths = [max(map(len, column)) for column in zip(*first, strict=True)]
    right = _are_numbers(rows.schema)
    for line in chain(first, lines):
        aligned = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        )
        console.file.write("  ".join(aligned).rstrip() + "\n")


def _cells(batch: "pa.RecordBatch") -> Iterator[list[str]]:
    columns = (column.to_pylist() for column in batch.columns)
    return ([_cell(value) for value in row] for row in zip(*columns, strict=True))


def _are_numbers(schema: "pa.Schema") -> list[bool]:
    import pyarrow as pa

    return [pa.types.is_integer(field.type) or pa.types.is_floating(field.type) for field in schema]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return safe(str(value)).replace("\n", " ").replace("\t", " ")
