"""One local Ray for the tests that run in this process, and the command for those that do not."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray

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
