"""Commands on small tables, in one process."""

import json
import re
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.cli.export import FORMULAS
from craft_ray.cli.show import print_document
from craft_ray.core.errors import SettingsError, StorageError
from tests.support.hostile_output import write_hostile_output


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("commands") / "tables"
    write_hostile_output(folder)
    return str(folder)


def test_settings_with_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "craft-ray.yaml").write_text("replicas: 3\ns3: {region: eu-west-1}\n")
    monkeypatch.setenv("CRAFT_RAY_PATIENCE", "7")
    monkeypatch.setenv("CRAFT_RAY_WAIT_FOR", '{"gpus": 2}')
    rows = json.loads(CliRunner().invoke(app, ["settings", "--model", "stand-in", "--json"]).output)
    values = {row["setting"]: (row["value"], row["from"]) for row in rows}
    assert values["model"] == ("stand-in", "argument")
    assert values["patience"] == (7, "CRAFT_RAY_PATIENCE")
    assert values["replicas"] == (3, "craft-ray.yaml, line 1")
    assert values["s3.region"] == ("eu-west-1", "craft-ray.yaml, line 2")
    assert values["s3.profile"] == (None, "default")
    assert values["wait_for.gpus"] == (2, "CRAFT_RAY_WAIT_FOR")
    assert values["wait_for.cpus"] == (0, "default")
    assert values["engine"] == ("auto", "default")
    assert "craft-ray.yaml, line 1" in CliRunner().invoke(app, ["settings"]).output


def texts(shown: str) -> list[str]:
    """The lines that `show` prints, without the marks of mentions."""
    while (fewer := re.sub(r"\[([^][|]+)\|\w+\]", r"\1", shown)) != shown:
        shown = fewer
    return shown.splitlines()


def test_show_keeps_ids_whole_in_80_columns(capsys: pytest.CaptureFixture[str]):
    document = {"text": "Pax6 and Retinal ganglion cells.", "sections": []}
    entity = {"label": "Protein", "mention": "Pax6", "start": 0, "end": 4, "score": 0.9, "concept_id": "PR:000012318"}
    other = entity | {
        "mention": "Retinal ganglion cells",
        "concept_id": "NCBITaxon:1008806",
        "gene_id": "NCBIGene:18508",
    }
    entities = [
        one | {"concept_name": "a name of several words", "gene_id": one.get("gene_id")} for one in (entity, other)
    ]
    print_document(Console(force_terminal=True, color_system=None, width=80), document, entities, scores=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("NCBITaxon:1008806" in line for line in lines) == 1
    assert lines[-1].strip() == "without the columns gene_id; --json prints all"


@pytest.mark.parametrize("colours", [None, "truecolor"])
def test_show_marks_mentions_within_others(colours: Literal["truecolor"] | None, capsys: pytest.CaptureFixture[str]):
    document = {"text": "A retinal ganglion cell.", "sections": [{"name": "text", "start": 0, "end": 24}]}
    entities = [{"label": "Cell", "start": 2, "end": 23}, {"label": "Anatomy", "start": 2, "end": 9}]
    print_document(Console(color_system=colours, force_terminal=colours is not None, width=80), document, entities)
    shown = capsys.readouterr().out.splitlines()[0]
    if colours is None:
        assert shown == "A [[retinal|Anatomy] ganglion cell|Cell]."
    else:
        assert re.fullmatch("A \x1b\\[[^m]+mretinal\x1b\\[0m\x1b\\[[^m]+m ganglion cell\x1b\\[0m\\.", shown), shown


def test_show_standard_input_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_MODEL", "stand-in")
    shown = CliRunner().invoke(app, ["show", "-"], input="Pax6 in the mouse.").output
    assert texts(shown)[0] == "Pax6 in the mouse." != shown.splitlines()[0]
    for name, text in (("a.txt", "One mouse."), ("b.txt", "Two mice.")):
        (tmp_path / name).write_text(text)
    every = texts(CliRunner().invoke(app, ["show", str(tmp_path), "--scores"]).output)
    assert every.index("One mouse.") < every.index("Two mice.")
    assert "Two mice." not in texts(CliRunner().invoke(app, ["show", str(tmp_path), "-n", "1"]).output)


def test_show_as_json(output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_MODEL", "stand-in")
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "Pax6 in the mouse."}\n{"id": "2", "text": "A rat."}\n')
    shown = [json.loads(line) for line in run_show(str(tmp_path / "a.jsonl"), "--json").splitlines()]
    assert [document["doc_id"] for document in shown] == ["1", "2"]
    for document in shown:
        for entity in document["entities"]:
            assert document["text"][entity["start"] : entity["end"]] == entity["mention"]
    assert shown[0]["entities"]
    first = json.loads(run_show(output, "--json", "-n", "1"))
    stored = json.loads(run_show(first["doc_id"], "--in", output, "--json"))
    assert (stored["doc_id"], stored["entities"][0]["mention"]) == (first["doc_id"], first["mention"])


def run_show(*arguments: str) -> str:
    return CliRunner().invoke(app, ["show", *arguments], catch_exceptions=False).stdout


def test_scores_out_of_range(output: str, tmp_path: Path):
    for arguments in (["show", "Pax6"], ["export", output, str(tmp_path / "x"), "--to", "csv"], ["annotate", "x"]):
        done = CliRunner().invoke(app, [*arguments, "--min-score", "90"], env={"CRAFT_RAY_LOG_FORMAT": "text"})
        assert done.exit_code == 2 or isinstance(done.exception, SettingsError)
        text = f"{done.output} {done.exception}"
        assert "range" in text or "less than or equal to 1" in text
    assert not (tmp_path / "x").exists()


def test_export_warns_of_formulas(output: str, tmp_path: Path):
    done = CliRunner().invoke(app, ["export", output, str(tmp_path / "csv"), "--to", "csv"])
    assert FORMULAS in done.output
    assert FORMULAS not in CliRunner().invoke(app, ["export", output, str(tmp_path / "jsonl"), "--to", "jsonl"]).output


def test_quiet(output: str, tmp_path: Path):
    page, folder = tmp_path / "page.html", tmp_path / "csv"
    for arguments in (["report", output, "-o", str(page), "-q"], ["export", output, str(folder), "--to", "csv", "-q"]):
        done = CliRunner().invoke(app, arguments)
        assert (done.exit_code, done.output) == (0, ""), done.exception
    assert page.stat().st_size > 0
    assert (folder / "_export.json").is_file()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_CRAFT_RAY_COMPLETE", f"source_{shell}")
    sourced = CliRunner().invoke(app, [], prog_name="craft-ray").output
    assert "_CRAFT_RAY_COMPLETE" in sourced


@pytest.mark.parametrize(
    "arguments",
    [
        ["top", "s3://bucket/out"],
        ["concepts", "build", "s3://bucket/x.obo", "-o", "lexicon"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_patience(arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "CRAFT_RAY_PATIENCE": "0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    failure = CliRunner().invoke(app, arguments).exception
    assert isinstance(failure, StorageError), failure
    assert "storage failed for 0.1 s" in str(failure)
