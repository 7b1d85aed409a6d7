"""One local Ray for the tests that run in this process, and the command for those that do not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

from craft_ray.cli.app import main

COMMAND = [sys.executable, "-m", "craft_ray"]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@dataclass(frozen=True)
class Finished:
    code: int
    summary: dict[str, Any] | None
    stdout: str
    stderr: str


def run_command(*arguments: str | Path, environment: dict[str, str] | None = None, timeout: float = 300) -> Finished:
    """Run `craft-ray` to its end."""
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


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """The command in this process, on the Ray that it has."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str | Path) -> Finished:
        monkeypatch.setattr(sys, "argv", ["craft-ray", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        last = out.strip().rpartition("\n")[2]
        return Finished(end.value.code, json.loads(last) if last[:1] in ("{", "[") else None, out, err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)
