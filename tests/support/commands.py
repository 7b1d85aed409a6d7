"""Runs of the command, and command lines in files of cluster/, parsed by the real parsers."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).parent.parent.parent
CLUSTER = ROOT / "cluster"
COMMAND = [sys.executable, "-m", "craft_ray"]


@dataclass(frozen=True)
class Finished:
    code: int
    summary: dict[str, Any] | None
    stdout: str
    stderr: str


def run_command(*arguments: str | Path, environment: dict[str, str] | None = None, timeout: float = 300) -> Finished:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    last = done.stdout.strip().rpartition("\n")[2]
    return Finished(done.returncode, json.loads(last) if last.startswith("{") else None, done.stdout, done.stderr)


def in_comments(file: Path) -> list[str]:
    """Command lines in a file's opening comment: indented by three, without remarks."""
    return re.findall(r"^# {3,}(.*?)(?: {2,}#.*)?$", file.read_text(encoding="utf-8"), re.MULTILINE)


def in_tables(file: Path) -> list[str]:
    """Code in the tables of a page."""
    return [
        code
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
        for code in re.findall(r"`([^`]+)`", line)
    ]


def parsed(line: str) -> dict[str, Any] | None:
    """The parameters of a command line of craft-ray or Ray; None for other programs. Parses what Ray submits too.

    Raises click.ClickException if the command does not accept it.
    """
    name, *arguments = shlex.split(line)
    if name == "ray":
        from ray.scripts.scripts import cli

        parameters = _parsed(cli, arguments)
        if arguments[:2] == ["job", "submit"]:
            assert parsed(shlex.join(parameters["entrypoint"])), f"not ours: {line}"
        return parameters
    if name == "python" and arguments[0] == "jobs/annotate.py":
        name, arguments = "craft-ray", ["annotate", *arguments[1:]]
    if name != "craft-ray":
        return None
    from craft_ray.cli.app import app

    return _parsed(typer.main.get_command(app), arguments)


def _parsed(command: Any, arguments: list[str]) -> dict[str, Any]:
    context, name = None, command.name
    while hasattr(command, "commands"):
        context = command.context_class(command, info_name=name, parent=context)
        name, command, arguments = command.resolve_command(context, arguments)
    return dict(command.make_context(name, arguments, parent=context).params)
