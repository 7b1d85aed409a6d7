"""The command line as a whole."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from craft_ray import __version__
from craft_ray.cli.app import COMMANDS, _exit_code, app, make_app
from craft_ray.cli.options import requested_log_format
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.logs import configure_logging
from tests.support.commands import COMMAND, ROOT
from tests.support.hostile_output import write_hostile_output


def test_added_command(monkeypatch: pytest.MonkeyPatch):
    def greet(name: str) -> None:
        """Greet somebody."""
        print(f"hello {name}")

    module = SimpleNamespace(greet=greet, EXAMPLES={"greet": ("greet you",)})
    monkeypatch.setitem(sys.modules, "craft_ray.cli.evaluate", module)  # type: ignore[arg-type]
    monkeypatch.setitem(COMMANDS, "evaluate greet", "evaluate.greet")
    added = make_app(["show", "evaluate greet"])
    assert CliRunner().invoke(added, ["evaluate", "greet", "you"]).output == "hello you\n"
    assert "Greet somebody." in CliRunner().invoke(added, ["evaluate", "-h"]).output
    assert "greet you" in CliRunner().invoke(added, ["evaluate", "greet", "-h"]).output


def test_help_and_settings_option():
    for name in COMMANDS:
        path = name.split()
        shown = CliRunner().invoke(app, [*path, "-h"], env={"COLUMNS": "200"})
        assert shown.exit_code == 0, shown.output
        assert "--settings" in shown.output or path[0] in ("quantize", "publish", "bench"), path


def test_version():
    assert CliRunner().invoke(app, ["--version"]).output == f"{__version__}\n"


def test_error_is_one_safe_line(capsys: pytest.CaptureFixture[str]):
    def fail(**_: object) -> None:
        raise SettingsError("no file \x1b[31mred\n[/i].pdf")

    assert _exit_code(fail) == 2
    replaced = "\N{REPLACEMENT CHARACTER}"
    assert capsys.readouterr().err == f"craft-ray: no file {replaced}[31mred{replaced}[/i].pdf\n"


def test_error_as_json(capsys: pytest.CaptureFixture[str]):
    def fail(**_: object) -> None:
        error = RunError("storage is gone")
        error.summary = {"run_id": "20261126T0000-1", "status": "failed"}
        raise error

    configure_logging("json")
    assert _exit_code(fail) == 1
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["exit_code"]) == ("command failed", "error", 1)
    assert (line["error"], line["run_id"]) == ("storage is gone", "20261126T0000-1")


@pytest.mark.parametrize(
    ("arguments", "file", "variable", "format"),
    [
        (["annotate", "x", "--log-format", "json"], None, None, "json"),
        (["annotate", "x", "--log-format=text"], "log_format: json", "json", "text"),
        (["compact", "out"], None, "json", "json"),
        (["compact", "out"], "replicas: [\n'log_format': 'json'", None, "json"),
        (["runs", "out", "--settings", "night.yaml"], None, None, "json"),
        (["runs", "out", "--settings=none.yaml"], "log_format: json", None, "text"),
        (["top"], "s3:\n  log_format: json", None, "text"),
        ([], None, None, "text"),
    ],
)
def test_requested_log_format(
    arguments: list[str], file: str | None, variable: str | None, format: str, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "night.yaml").write_text("log_format: json\n")
    if file is not None:
        (tmp_path / "craft-ray.yaml").write_text(file)
    if variable is not None:
        monkeypatch.setenv("CRAFT_RAY_LOG_FORMAT", variable)
    assert requested_log_format(arguments) == format


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["annotate", "x", "-o", "out"], "setting replicas: "),
        (["compact", "out"], "there are no tables in out"),
        (["top", "--nonsense"], "--nonsense"),
    ],
)
def test_early_errors_as_json(arguments: list[str], text: str, tmp_path: Path):
    (tmp_path / "craft-ray.yaml").write_text(
        "log_format: json\n" + ("replicas: 0\n" if "annotate" in arguments else "")
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([*COMMAND, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False)
    *_, line = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, line["exit_code"], line["level"]) == (2, 2, "error")
    assert text in line["error"]


def test_status_as_json(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    output = tmp_path / "tables"
    write_hostile_output(output)
    configure_logging("json")
    for arguments, text in (
        (["report", output, "--html", tmp_path / "page.html"], "counting documents"),
        (["export", output, tmp_path / "csv", "--to", "csv"], "part 1 of 1"),
    ):
        assert _exit_code(lambda given=arguments, **options: app(list(map(str, given)), **options)) == 0
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert text in [line["event"] for line in lines]
        assert {line["level"] for line in lines} == {"info"}


def test_closed_standard_streams():
    """A closed stderr is not stdout, and its number is not given to the next file that is opened."""
    program = "import os, sys; sys.argv[1:] = ['top', '--nonsense']; from craft_ray.cli import main; main()"
    command = ["sh", "-c", 'exec "$0" -c "$1" <&- 2>&-', sys.executable, program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_closed_pipe_keeps_the_exit_code_of_a_failure(tmp_path: Path, options: list[str]):
    """The reader of the output ends at once."""
    command = [sys.executable, "-m", "craft_ray", "annotate", "/missing", "--output", str(tmp_path / "out"), *options]
    line = f"{shlex.join(command)} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
    assert "BrokenPipe" not in done.stderr
