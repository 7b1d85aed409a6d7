"""Looking at documents and mentions through the command."""

import csv
import io
import json
from pathlib import Path

import pytest

import craft_ray
from tests.conftest import SAMPLE
from tests.support.outputs import entity_rows

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def output(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("look")
    craft_ray.annotate(str(SAMPLE), str(folder))
    return folder


def test_a_text_a_file_and_a_document_of_the_tables_are_shown_with_their_entities(command, output: Path):
    assert (
        "[Pax6|Protein] is expressed in the [mouse|Taxon] eye."
        in command("show", "Pax6 is expressed in the mouse eye.").stdout
    )
    of_file = command("show", SAMPLE / "citations.xml").stdout
    assert "Loss of [Pax6|Protein] disturbs lens development in the [mouse|Taxon]." in of_file
    of_tables = command("show", "PMID:990000001", "--in", output).stdout
    assert of_tables.splitlines() == of_file.splitlines()[: len(of_tables.splitlines())]
    assert "Pax6" in command("show", output, "--limit", "100").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["PMID:1"], "say which tables"),
        (["no-such.xml"], "there is no file"),
        (["EMPTY"], "there are no tables in"),
        (["PMID:1", "--in", "OUT"], "there is no document PMID:1"),
        (["PMID:99000001", "--in", "OUT"], "; did you mean PMID:990000001?"),
    ],
)
def test_what_cannot_be_shown_is_a_bad_setting(
    command, output: Path, arguments: list[str], sentence: str, tmp_path: Path
):
    places = {"OUT": str(output), "EMPTY": str(tmp_path)}
    done = command("show", *(places.get(argument, argument) for argument in arguments))
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert sentence in done.stderr


def test_the_demo_leaves_tables_and_a_page(local_ray: None, command, tmp_path: Path):
    folder = tmp_path / "demo"
    done = command("demo", "-o", folder)
    assert done.code == 0, done.stderr
    assert f"Open {folder}/report.html in a browser" in done.stdout
    assert (folder / "report.html").stat().st_size > 0
    shown = next(line for line in done.stdout.splitlines() if line.strip().startswith("craft-ray show"))
    assert "Pax6" in command(*shown.split()[1:]).stdout


def test_rejected_documents_are_tried_again_on_request(command, output: Path):
    done = command("rejected", output, "--retry", "--json")
    assert (done.code, done.summary) == (0, {"to_read_again": []}), done.stderr


def test_the_tables_are_asked_in_sql(command, output: Path):
    counted = "SELECT label, count(*) AS n FROM entities JOIN documents USING (doc_id) GROUP BY 1 ORDER BY 1"
    rows = [json.loads(line) for line in command("query", output, counted, "--json").stdout.splitlines()]
    assert sum(row["n"] for row in rows) == len(entity_rows(output))
    as_csv = list(csv.DictReader(io.StringIO(command("query", output, counted, "--csv").stdout)))
    assert [(row["label"], int(row["n"])) for row in as_csv] == [(row["label"], row["n"]) for row in rows]
    assert "Protein" in command("query", output, counted).stdout
    wrong = command("query", output, "SELECT nothing FROM nowhere")
    assert (wrong.code, wrong.stderr.count("\n")) == (2, 3)
    assert command("query", output, "CREATE TABLE t AS SELECT 1 AS x").code == 0


def test_the_most_frequent_and_what_is_named_together(command, output: Path):
    found = command("top", output, "--label", "taxon", "--limit", "2", "--json").summary
    assert {row["label"] for row in found} == {"Taxon"}
    assert found[0]["mentions"] >= found[1]["mentions"]
    together = command("pairs", output, "--labels", "Protein,Taxon", "--at-least", "1", "--json").summary
    assert {"Pax6", "mice"} <= {row[side] for row in together for side in ("first", "second")}
    assert command("pairs", output, "--labels", "Protein").code == 2
    assert command("top", output, "--by", "luck").code == 2
