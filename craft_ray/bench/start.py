"""Waits of a user: until the first rows of a run, and for commands that have little to do."""

import json
import shutil
import sys
import time
from functools import partial
from statistics import median
from typing import Any

from craft_ray.bench.inputs import SAMPLE, Inputs
from craft_ray.bench.measure import CRAFT_RAY, in_turn, run_command

REFERENCE = "import ray"
"""The step of every run that other commands are compared with, so that machines are comparable."""


def start(inputs: Inputs) -> dict[str, Any]:
    """Seconds from a command to each step of its run: the first time, with the converted model, and of the sample."""
    files = list(map(str, inputs.jsonl("start", inputs.sizes.rival, 4)))
    runs = {"first time": files, "converted": files, "sample": [str(SAMPLE)]}
    return {name: _timeline(inputs, files) for name, files in runs.items()}


def _timeline(inputs: Inputs, files: list[str]) -> dict[str, float]:
    output = inputs.folder / "start-out"
    shutil.rmtree(output, ignore_errors=True)
    began = time.time()
    done = run_command(
        *(*CRAFT_RAY, "annotate", *files, "--model", inputs.checkpoint.source, "--output", str(output), "--json"),
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
    done = in_turn(runs, inputs.sizes.repeats)  # the warm-up fills the caches
    cpu = {name: median(each.cpu_seconds for each in turns) for name, turns in done.items()}
    return {
        name: {
            "seconds": round(median(each.seconds for each in turns), 2),
            "cpu_seconds": round(cpu[name], 2),
            "cpu_to_import_ray": round(cpu[name] / cpu[REFERENCE], 2),
        }
        for name, turns in done.items()
    }
