"""Rows of a query: cut for people where there are too many, never for programs."""

import io

import pyarrow as pa
from rich.console import Console

from craft_ray.cli.rows import SHOWN, print_table

LONG = "PMCID:" + "7" * 300


def printed(rows: pa.Table, **options) -> str:
    stream = io.StringIO()
    print_table(Console(file=stream, **options), rows.to_reader())
    return stream.getvalue()


def test_in_a_pipe_each_row_is_a_whole_line():
    rows = pa.table({"doc_id": [LONG] * 500, "mention": ["two\nlines"] * 500, "n": [12345] * 500})
    lines = printed(rows, width=80).splitlines()
    assert len(lines) == 501
    assert all(line == f"{LONG}  two lines  12,345" for line in lines[1:])


def test_on_a_terminal_the_first_rows_are_shown_whole_and_all_are_counted():
    shown = printed(pa.table({"doc_id": [LONG] * (SHOWN + 50)}), width=80, force_terminal=True, color_system=None)
    assert shown.replace("\n", "").count("7") == SHOWN * 300
    assert f"{SHOWN} of {SHOWN + 50} rows" in shown


def test_no_rows_and_no_columns_are_printed_as_well():
    empty = pa.table({"a": pa.array([], pa.int64())})
    assert printed(empty) == "a\n"
    assert "no rows" in printed(empty, width=80, force_terminal=True, color_system=None)
