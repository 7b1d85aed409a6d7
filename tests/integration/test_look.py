"""The commands of the first minutes: `demo`, what it suggests, and `show`."""

import shlex
from pathlib import Path

import pytest

from tests.conftest import SAMPLE

pytestmark = pytest.mark.integration


def test_demo(local_ray: None, command, tmp_path: Path):
    folder = tmp_path / "demo"
    done = command("demo", "-o", folder)
    assert done.code == 0, done.stderr
    assert f"Open {folder}/report.html in a browser" in done.stdout
    assert (folder / "report.html").stat().st_size > 0
    suggested = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("craft-ray ")]
    of_tables, *others = (command(*shlex.split(line)[1:]) for line in suggested)
    assert len(others) == 3
    assert [other.code for other in others] == [0, 0, 0]
    of_file = command("show", SAMPLE / "citations.xml").stdout.splitlines()
    assert of_tables.stdout.splitlines() == of_file[: of_tables.stdout.count("\n")]
    assert "Loss of [Pax6|Protein] disturbs [lens development|Process] in the [mouse|Taxon]." in of_tables.stdout


def test_show_a_text(command):
    shown = command("show", "Pax6 is expressed in the mouse eye.").stdout
    assert "[Pax6|Protein] is [expressed|Process] in the [mouse|Taxon] [eye|Anatomy]." in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "PMID:1"], "name the tables"),
        (["show", "no-such.xml"], "there is no file"),
        (["pairs", "tables", "--labels", "Protein"], "give two labels"),
    ],
)
def test_wrong_arguments(command, arguments: list[str], message: str):
    done = command(*arguments)
    assert (done.code, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
