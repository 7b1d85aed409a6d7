"""Commands on small tables, in one process."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from craft_ray.cli.app import app
from craft_ray.cli.export import FORMULAS
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
    assert "\n1 part, " in done.output
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
