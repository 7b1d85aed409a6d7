"""Every figure of the benchmark, on the same inputs in one run: rivals and ours taken in turn.

Speeds are in tokens per second, where a token is a word piece of the documents, special tokens and padding not counted.
What is compared is first checked to agree.
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from craft_ray.bench.goals import check_goals
from craft_ray.bench.host_path import host_path
from craft_ray.bench.inputs import Inputs, read_inputs
from craft_ray.bench.measure import BenchSizes, machine
from craft_ray.bench.model_stage import model_stage, precisions_here, share_of_peak
from craft_ray.bench.start import short_commands, start
from craft_ray.bench.whole_jobs import pubmed_file, sleepers, ten_times, whole_job
from craft_ray.core.settings import EMBEDDED
from craft_ray.model.loading import load_checkpoint


def run_benchmark(
    given: Sequence[str],
    sizes: BenchSizes,
    on_step: Callable[[str], None] = lambda step: None,
    model: str = EMBEDDED,
) -> dict[str, Any]:
    """Measure everything on the documents of the inputs, repeated under new ids as often as needed.

    Returns what bench.json holds: `machine`, then a part for each figure, with `goals` of ratio, goal and whether met.

    model: a model that ships, a local folder, or a Hugging Face id

    Raises SettingsError if the inputs hold no documents or there is no such model, RunError if what is
    compared does not agree.
    """
    documents = read_inputs(given)
    checkpoint = load_checkpoint(model)
    precisions = precisions_here(checkpoint)
    result: dict[str, Any] = {
        "machine": machine(),
        "model": model,
        "sizes": {n: getattr(sizes, n) for n in sizes.__slots__},
    }
    with tempfile.TemporaryDirectory(prefix="craft-ray-bench-") as folder:
        inputs = Inputs(documents, checkpoint, Path(folder), sizes, os.cpu_count() or 1)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "model_stage": lambda: model_stage(inputs, precisions),
            "matrix_peak": lambda: share_of_peak(inputs, precisions, result["model_stage"]),
            "host_path": lambda: host_path(inputs),
            "whole_job": lambda: whole_job(inputs, result["model_stage"]),
            "ten_times": lambda: ten_times(inputs, result["host_path"]),
            "sleepers": lambda: sleepers(inputs),
            "pubmed_file": lambda: pubmed_file(inputs),
            "start": lambda: start(inputs),
            "short_commands": lambda: short_commands(inputs),
        }
        for name, part in parts.items():
            on_step(name)
            result[name] = part()
    result["goals"] = check_goals(result)
    return result
