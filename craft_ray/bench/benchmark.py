"""All figures of the benchmark, on the same inputs in one run, rivals and ours in turn.

Speeds are in tokens per second. A token is a word piece of the documents; special tokens and padding do not count.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from craft_ray.bench.goals import check_goals, cpu_figures
from craft_ray.bench.host_path import host_path
from craft_ray.bench.inputs import BenchSizes, Inputs, read_inputs
from craft_ray.bench.measure import machine
from craft_ray.bench.model_stage import model_stage, precisions_here
from craft_ray.bench.start import short_commands, start
from craft_ray.bench.whole_jobs import ten_times, whole_job
from craft_ray.model.loading import load_checkpoint


def run_benchmark(
    given: Sequence[str], sizes: BenchSizes, on_step: Callable[[str], None], model: str
) -> dict[str, Any]:
    """Measure everything on the given documents, repeated under new ids as often as needed.

    Returns the content of bench.json: `machine`, a part for each figure, and `goals`.

    Raises SettingsError if there are no documents or no such model, RunError if rivals disagree with ours.
    """
    texts, files = read_inputs(given)
    checkpoint = load_checkpoint(model)
    result: dict[str, Any] = {"machine": machine(), "model": model, "sizes": asdict(sizes)}
    with tempfile.TemporaryDirectory(prefix="craft-ray-bench-") as folder:
        inputs = Inputs(texts, files, checkpoint, Path(folder), sizes, os.cpu_count() or 1)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "model_stage": lambda: model_stage(inputs, precisions_here(checkpoint)),
            "host_path": lambda: host_path(inputs),
            "whole_job": lambda: whole_job(inputs, result["model_stage"]),
            "ten_times": lambda: ten_times(inputs),
            "start": lambda: start(inputs),
            "short_commands": lambda: short_commands(inputs),
        }
        for name, part in parts.items():
            on_step(name)
            result[name] = part()
    return result | {"goals": check_goals(cpu_figures(result))}
