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


def test_show_text_file_and_tables(command, output: Path):
    shown = command("show", "Pax6 is expressed in the mouse eye.").stdout
    assert "[Pax6|Protein] is [expressed|Process] in the [mouse|Taxon] [eye|Anatomy]." in shown
    of_file = command("show", SAMPLE / "citations.xml").stdout
    assert "Loss of [Pax6|Protein] disturbs [lens development|Process] in the [mouse|Taxon]." in of_file
    of_tables = command("show", "PMID:990000001", "--in", output).stdout
    assert of_tables.splitlines() == of_file.splitlines()[: len(of_tables.splitlines())]
    assert "Pax6" in command("show", output, "--limit", "100").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PMID:1"], "name the tables"),
        (["no-such.xml"], "there is no file"),
        (["EMPTY"], "there are no tables in"),
        (["PMID:1", "--in", "OUT"], "there is no document PMID:1"),
        (["PMID:99000001", "--in", "OUT"], "; did you mean PMID:990000001?"),
    ],
)
def test_show_with_wrong_arguments(command, output: Path, arguments: list[str], message: str, tmp_path: Path):
    paths = {"OUT": str(output), "EMPTY": str(tmp_path)}
    done = command("show", *(paths.get(argument, argument) for argument in arguments))
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


def test_demo(local_ray: None, command, tmp_path: Path):
    folder = tmp_path / "demo"
    done = command("demo", "-o", folder)
    assert done.code == 0, done.stderr
    assert f"Open {folder}/report.html in a browser" in done.stdout
    assert (folder / "report.html").stat().st_size > 0
    shown = next(line for line in done.stdout.splitlines() if line.strip().startswith("craft-ray show"))
    assert "Pax6" in command(*shown.split()[1:]).stdout


def test_retry_of_rejected_documents(command, output: Path):
    done = command("rejected", output, "--retry", "--json")
    assert (done.code, done.summary) == (0, {"to_read_again": []}), done.stderr


def test_query(command, output: Path):
    counted = "SELECT label, count(*) AS n FROM entities JOIN documents USING (doc_id) GROUP BY 1 ORDER BY 1"
    rows = [json.loads(line) for line in command("query", output, counted, "--json").stdout.splitlines()]
    assert sum(row["n"] for row in rows) == len(entity_rows(output))
    as_csv = list(csv.DictReader(io.StringIO(command("query", output, counted, "--csv").stdout)))
    assert [(row["label"], int(row["n"])) for row in as_csv] == [(row["label"], row["n"]) for row in rows]
    assert "Protein" in command("query", output, counted).stdout
    wrong = command("query", output, "SELECT nothing FROM nowhere")
    assert (wrong.code, wrong.stderr.count("\n")) == (2, 3)
    assert command("query", output, "CREATE TABLE t AS SELECT 1 AS x").code == 0


def test_top_and_pairs(command, output: Path):
    found = command("top", output, "--label", "taxon", "--limit", "2", "--json").summary
    assert {row["label"] for row in found} == {"Taxon"}
    assert found[0]["mentions"] >= found[1]["mentions"]
    together = command("pairs", output, "--labels", "Protein,Taxon", "--at-least", "1", "--json").summary
    assert {"Pax6", "mice"} <= {row[side] for row in together for side in ("first", "second")}
    assert command("pairs", output, "--labels", "Protein").code == 2
    assert command("top", output, "--by", "luck").code == 2
