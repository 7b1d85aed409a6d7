"""Waits of a user: the command's first rows, and commands that have little to do."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from craft_ray.bench.inputs import SAMPLE, Inputs
from craft_ray.bench.measure import Measured
from craft_ray.model.engines.stand_in import STAND_IN

REFERENCE = "import ray"
"""The step of all runs against which others are measured, so that machines compare."""

_CRAFT_RAY = (sys.executable, "-m", "craft_ray")


def start(inputs: Inputs) -> dict[str, Any]:
    """The command as a user gives it, from nothing to its first rows: with a model that has yet to be converted, with
    one that was, and with none; and of the sample alone, with the converted model.
    """
    files = list(map(str, inputs.jsonl("start", inputs.sizes.rival, 4)))
    named = inputs.checkpoint.source
    runs = {
        "first time": (named, files),
        "embedded": (named, files),
        STAND_IN: (STAND_IN, files),
        "sample": (named, [str(SAMPLE)]),
    }
    environment = os.environ | {"XDG_CACHE_HOME": str(inputs.folder / "cache")}
    return {
        name: _first_rows([*_CRAFT_RAY, "annotate", *of, "--model", model], inputs.fresh("start"), environment)
        for name, (model, of) in runs.items()
    }


def short_commands(inputs: Inputs) -> dict[str, Any]:
    """Seconds of commands that have little to do, by the clock and of CPU, and their ratio to `import ray`."""
    output = str(inputs.fresh("nothing-new"))
    annotate = (*_CRAFT_RAY, "annotate", str(SAMPLE), "--output", output)
    subprocess.run(annotate, capture_output=True, check=True)
    commands = {
        REFERENCE: (sys.executable, "-c", "import ray"),
        "help": (*_CRAFT_RAY, "--help"),
        "bad setting": (*annotate, "--model", "/nowhere"),
        "nothing new": annotate,
        "show": (*_CRAFT_RAY, "show", "Pax6 is expressed in the mouse eye."),
    }
    clock = {name: Measured() for name in commands}
    cpu = {name: Measured() for name in commands}
    for _ in range(inputs.sizes.repeats):
        for name, command in commands.items():
            seconds, computed = _timed(command)
            clock[name].values.append(seconds)
            cpu[name].values.append(computed)
    return {
        name: {
            "seconds": round(clock[name].median, 2),
            "cpu_seconds": round(cpu[name].median, 2),
            "cpu_to_import_ray": round(cpu[name].median / cpu[REFERENCE].median, 2),
        }
        for name in commands
    }


def _timed(command: tuple[str, ...]) -> tuple[float, float]:
    """Seconds of a command by the monotonic clock, and of CPU with all that it started."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, capture_output=True, check=False)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _first_rows(command: list[str], output: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """When a command reached each step of its timeline, in seconds from its start by the monotonic clock."""
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, "--output", str(output), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    log = output / "documents" / "_delta_log"
    while not _has_rows(log) and process.poll() is None:
        time.sleep(0.02)
    seen = time.monotonic() - began
    summary = json.loads(process.communicate()[0].splitlines()[-1])
    run_begins = max(0.0, seen - summary["timeline"]["first_commit"])
    steps = {step: round(run_begins + seconds, 2) for step, seconds in summary["timeline"].items()}
    return {
        "seconds_from_the_command": {"run_begins": round(run_begins, 2)}
        | steps
        | {"end": round(time.monotonic() - began, 2)}
    }


def _has_rows(log: Path) -> bool:
    """True if a Delta log has a commit that adds a file; those that make or fence a table add none."""
    return any('{"add":' in file.read_text(encoding="utf-8") for file in log.glob("*.json"))
