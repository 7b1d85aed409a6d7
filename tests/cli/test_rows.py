import csv
import io
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from craft_ray.cli.rows import TERMINAL_ROWS, print_rows, print_table
from tests.support.outputs import write_tables

LONG = "PMCID:" + "7" * 300


def printed(rows: pa.Table, **options) -> str:
    stream = io.StringIO()
    print_table(Console(file=stream, **options), rows.to_reader())
    return stream.getvalue()


def test_pipe_gets_whole_rows():
    rows = pa.table({"doc_id": [LONG] * 500, "mention": ["two\nlines"] * 500, "n": [12345] * 500})
    lines = printed(rows, width=80).splitlines()
    assert len(lines) == 501
    assert all(line == f"{LONG}  two lines  12345" for line in lines[1:])


def test_columns_are_as_wide_as_their_first_cells():
    rows = pa.table({"id": ["a"] * 5_000 + ["b" * 20], "n": range(5_001)})
    lines = printed(rows, width=80).splitlines()
    assert lines[:2] == ["id    n", "a     0"]
    assert lines[-2:] == ["a   4999", f"{'b' * 20}  5000"]


def test_terminal_shows_first_rows_and_counts_all():
    shown = printed(
        pa.table({"doc_id": [LONG] * (TERMINAL_ROWS + 50)}), width=80, force_terminal=True, color_system=None
    )
    assert shown.replace("\n", "").count("7") == TERMINAL_ROWS * 300
    assert f"{TERMINAL_ROWS} of {TERMINAL_ROWS + 50} rows" in shown


CONCEPTS = pa.table(
    {
        "label": ["Sequence", "Taxon"],
        "concept_id": ["SO:0000704", "NCBITaxon:9606"],
        "concept": ["gene", "Homo sapiens"],
        "year": [2001, None],
        "key": [6648395123456789012, -1],
        "spellings": ["genes, genetic, genetically", "humans, people of any age, human"],
    }
)


@pytest.mark.parametrize("width", [80, 100, 200])
def test_terminal_keeps_ids_whole_and_folds_texts_between_words(width: int):
    shown = printed(CONCEPTS, width=width, force_terminal=True, color_system=None)
    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    for word in ("NCBITaxon:9606", "Sequence", "2001", "6648395123456789012", "genetically", "sapiens"):
        assert word in [word.rstrip(",") for word in words]


def test_terminal_leaves_a_column_out_rather_than_break_words():
    rows = CONCEPTS.set_column(2, "concept", pa.array(["bronchopulmonary dysplasia", "gene"])).drop_columns("key")
    shown = printed(rows, width=60, force_terminal=True, color_system=None)
    assert "bronchopulmonary" in shown.split()
    assert "without the columns spellings" in shown


def test_terminal_names_the_columns_that_do_not_fit():
    shown = printed(CONCEPTS, width=40, force_terminal=True, color_system=None)
    assert "NCBITaxon:9606" in shown
    assert "without the columns key, spellings; --csv and --json print all" in " ".join(shown.split())
    assert "6648395123456789012" not in shown


def test_rows_of_any_type():
    rows = pa.table({"n": [1234, None], "score": [0.5, 1.0], "mention": ["[bold]\x1b", "b"]})
    assert printed(rows) == "   n  score  mention\n1234  0.500  [bold]\N{REPLACEMENT CHARACTER}\n      1.000  b\n"


def test_csv_has_nested_values_as_json(capfd):
    table = pa.table({"id": ["a", "b"], "spans": [[{"start": 1, "name": 'é, "x"'}], None], "n": [[1, 2], []]})
    print_rows(table.to_reader(), "csv")
    sys.stdout.flush()
    (header, *rows) = csv.reader(capfd.readouterr().out.splitlines())
    assert header == ["id", "spans", "n"]
    assert json.loads(rows[0][1]) == [{"start": 1, "name": 'é, "x"'}]
    assert rows[1] == ["b", "", "[]"]


def test_empty_results():
    empty = pa.table({"a": pa.array([], pa.int64())})
    assert printed(empty) == "a\n"
    assert "no rows" in printed(empty, width=80, force_terminal=True, color_system=None)


def test_columns_of_one_name_are_all_printed():
    assert printed(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])) == "a  a\n1  2\n"


class Head(io.StringIO):
    """A pipe whose reader leaves after the first line."""

    def write(self, text: str) -> int:
        if self.tell():
            raise BrokenPipeError
        return super().write(text)


def test_query_is_read_only_as_far_as_it_is_printed():
    read = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal read
        for _ in range(400):
            read += 1_000
            yield pa.record_batch({"n": range(1_000)})

    rows = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches())
    with pytest.raises(BrokenPipeError):
        print_table(Console(file=Head()), rows)
    assert read <= 10_000


def test_terminal_counts_without_making_rows():
    rows = pa.table({"n": range(400_000), "mention": [LONG] * 400_000})
    tracemalloc.start()
    try:
        assert "100 of 400,000 rows" in printed(rows, width=80, force_terminal=True, color_system=None)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


HOSTILE = pa.table({"mention": ["\x1b[2Jmouse", "\x9b31m\u202erat", "𝛽-actin"]})


@pytest.mark.parametrize("form", ["csv", "json lines", "table"])
def test_a_terminal_gets_no_control_characters(form: str, monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    print_rows(HOSTILE.to_reader(), form)
    shown = capfd.readouterr().out
    assert not {"\x9b", "\u202e"} & set(shown)
    assert "\x1b[2J" not in shown
    assert "𝛽-actin" in shown


@pytest.mark.parametrize("form", ["csv", "json lines"])
def test_a_pipe_gets_all_characters(form: str, capfd):
    print_rows(HOSTILE.to_reader(), form)
    assert "\x9b31m\u202erat" in capfd.readouterr().out


def test_a_query_ends_when_its_reader_leaves(tmp_path: Path):
    write_tables(tmp_path, [{"doc_id": "a", "text": "Mice"}], [])
    query = f"{sys.executable} -m craft_ray query {tmp_path} 'SELECT range FROM range(100000000)'"
    pipe = f"{query} | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.splitlines()[-1], done.stderr) == ("0", "")


@pytest.mark.parametrize("arguments", [["query", "OUT", "SELECT * FROM entities LIMIT 1"], ["show", "OUT"]])
def test_no_thread_that_reads_ahead_keeps_a_command_from_ending(tmp_path: Path, arguments: list[str]):
    write_tables(tmp_path, [{"doc_id": "a", "n_entities": 1}], [{"doc_id": "a", "label": "Taxon", "mention": "mouse"}])
    command = [str(tmp_path) if one == "OUT" else one for one in arguments]
    program = f"import atexit, sys; sys.argv[1:] = {command}; atexit.register(print, 'waited')\n"
    program += "from craft_ray.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "mouse" in done.stdout
    assert "waited" not in done.stdout
