"""Annotating and reading tables on a CPU needs no torch; other commands say how to install it."""

import os
from pathlib import Path

import pytest

from tests.conftest import SAMPLE
from tests.support.commands import run_command
from tests.support.outputs import table

pytestmark = pytest.mark.integration


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python processes, Ray's too, can import neither."""
    hidden = ("torch", "transformers", "accelerate")
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in hidden)]
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines))
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", os.getcwd())])}


@pytest.mark.long
def test_commands_without_torch(without_torch: dict[str, str], tmp_path: Path):
    output, gold = tmp_path / "out", tmp_path / "gold.tsv"
    gold.write_text("Pax6\tB-GGP\nin\tO\nmice\tB-Taxon\n")
    done = run_command("annotate", SAMPLE, "--output", output, environment=without_torch)
    assert done.code == 0, done.stderr
    assert {"Pax6"} <= set(table(output, "entities")["mention"].to_pylist())
    for arguments in (
        ["show", "Pax6 is expressed in the mouse eye."],
        ["report", output, "--html", tmp_path / "report.html"],
        ["export", output, tmp_path / "export", "--to", "pubtator"],
        ["query", output, "SELECT count(*) FROM entities"],
        ["evaluate", "tokens", "--gold", gold, "--model", "craft-iob"],
        ["evaluate", "documents", "--gold", gold],
    ):
        done = run_command(*arguments, environment=without_torch)
        assert done.code == 0, done.stderr
    assert "Pax6" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "Pax6", "--model", "someone/model"],
        ["train", "--train", "a.tsv", "--dev", "b.tsv", "--base", "craft", "--output", "model"],
    ],
)
def test_a_missing_torch_is_an_error(arguments: list[str], without_torch: dict[str, str]):
    done = run_command(*arguments, environment=without_torch)
    assert done.code == 2
    assert "needs torch, which is not installed: pip install torch" in done.stderr
    assert done.stderr.count("\n") == 1
