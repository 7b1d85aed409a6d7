"""Waits of a user: until the first rows of a run, and for commands that have little to do."""

import json
import shutil
import sys
import time
from functools import partial
from statistics import median
from typing import Any

from craft_ray.bench.inputs import SAMPLE, Inputs
from craft_ray.bench.measure import in_turn
from craft_ray.bench.processes import run_command
from craft_ray.model.engines.stand_in import STAND_IN

CRAFT_RAY = (sys.executable, "-m", "craft_ray")

REFERENCE = "import ray"
"""The step of every run that other commands are compared with, so that machines are comparable."""


def start(inputs: Inputs) -> dict[str, Any]:
    """Seconds of the command until its first rows: with a model yet to be converted, with a converted one, and with
    none; and for the sample alone.
    """
    files = list(map(str, inputs.jsonl("start", inputs.sizes.rival, 4)))
    model = inputs.checkpoint.source
    runs = {
        "first time": (model, files),
        "embedded": (model, files),
        STAND_IN: (STAND_IN, files),
        "sample": (model, [str(SAMPLE)]),
    }
    return {
        name: {"seconds_from_the_command": _timeline(inputs, ["annotate", *files, "--model", model])}
        for name, (model, files) in runs.items()
    }


def _timeline(inputs: Inputs, arguments: list[str]) -> dict[str, float]:
    """Seconds from the start of a command to each step of its run."""
    output = inputs.folder / "start-out"
    shutil.rmtree(output, ignore_errors=True)
    began = time.time()
    done = run_command(
        *(*CRAFT_RAY, *arguments, "--output", str(output), "--json"),
        environment={"XDG_CACHE_HOME": str(inputs.folder / "cache")},
    )
    timeline = json.loads(done.output.splitlines()[-1])["timeline"]
    log = (output / "documents" / "_delta_log").glob("*.json")
    first_rows = min(file.stat().st_mtime for file in log if '{"add":' in file.read_text(encoding="utf-8")) - began
    run_begins = first_rows - timeline["first_commit"]
    steps = {"run_begins": run_begins} | {step: run_begins + seconds for step, seconds in timeline.items()}
    return {name: round(seconds, 2) for name, seconds in (steps | {"end": done.seconds}).items()}


def short_commands(inputs: Inputs) -> dict[str, Any]:
    """Seconds of commands that have little to do, by the clock and of CPU, and their ratio to `import ray`."""
    annotate = (*CRAFT_RAY, "annotate", str(SAMPLE), "--output", str(inputs.folder / "nothing-new"))
    run_command(*annotate)
    commands = {
        REFERENCE: (sys.executable, "-c", "import ray"),
        "help": (*CRAFT_RAY, "--help"),
        "bad setting": (*annotate, "--model", "/nowhere"),
        "nothing new": annotate,
        "show": (*CRAFT_RAY, "show", "Pax6 is expressed in the mouse eye."),
    }
    runs = {name: partial(run_command, *command, check=False) for name, command in commands.items()}
    done = in_turn(runs, inputs.sizes.repeats, warm_up=False)
    cpu = {name: median(each.cpu_seconds for each in commands) for name, commands in done.items()}
    return {
        name: {
            "seconds": round(median(each.seconds for each in commands), 2),
            "cpu_seconds": round(cpu[name], 2),
            "cpu_to_import_ray": round(cpu[name] / cpu[REFERENCE], 2),
        }
        for name, commands in done.items()
    }
