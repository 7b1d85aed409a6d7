"""All figures of the benchmark, on the same inputs in one run, rivals and ours in turn.

Speeds are in tokens per second. A token is a word piece of the documents; special tokens and padding do not count.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from craft_ray.bench.goals import best_pipeline, cpu_goals, gpu_goals, medians
from craft_ray.bench.gpu import device_peaks, gpu_jobs, model_forms, pipeline_rates
from craft_ray.bench.host_path import host_path
from craft_ray.bench.inputs import BenchSizes, Inputs, read_inputs
from craft_ray.bench.measure import machine
from craft_ray.bench.model_stage import model_stage
from craft_ray.bench.start import short_commands, start
from craft_ray.bench.whole_jobs import ten_times, whole_job
from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import load_checkpoint

Part = Callable[[Inputs, Mapping[str, Any]], Any]
"""One part of a benchmark, from the inputs and the parts before it."""

CPU_PARTS: dict[str, Part] = {
    "model_stage": lambda inputs, _: model_stage(inputs),
    "host_path": lambda inputs, _: host_path(inputs),
    "whole_job": lambda inputs, done: whole_job(inputs, _best_batch(done["model_stage"]["tokens_per_second"])),
    "ten_times": lambda inputs, _: ten_times(inputs),
    "start": lambda inputs, _: start(inputs),
    "short_commands": lambda inputs, _: short_commands(inputs),
    "goals": lambda _, done: cpu_goals(done),
}

GPU_PARTS: dict[str, Part] = {
    "peak": lambda inputs, _: device_peaks("cuda", inputs.sizes.repeats),
    "forms": lambda inputs, done: model_forms(inputs, "cuda", done["peak"]),
    "pipeline": lambda inputs, _: pipeline_rates(inputs, "cuda"),
    "jobs": lambda inputs, _: gpu_jobs(inputs),
    "goals": lambda _, done: gpu_goals(done),
}


def run_benchmark(
    given: Sequence[str], sizes: BenchSizes, on_step: Callable[[str], None], model: str, gpu: bool = False
) -> dict[str, Any]:
    """Measure everything on the given documents, repeated under new ids as often as needed.

    Returns the content of bench.json, or of gpu.json: `machine`, `model`, `sizes`, the parts, and their `goals`.

    Raises SettingsError if there are no documents, no such model or no such GPU, RunError if rivals disagree with ours.
    """
    if gpu and not torch.cuda.is_available():
        raise SettingsError("torch sees no GPU here, and bench --gpu measures one: see `nvidia-smi`")
    texts, files = read_inputs(given)
    checkpoint = load_checkpoint(model)
    result: dict[str, Any] = {"machine": machine(), "model": model, "sizes": asdict(sizes)}
    with tempfile.TemporaryDirectory(prefix="craft-ray-bench-") as folder:
        inputs = Inputs(texts, files, checkpoint, Path(folder), sizes, os.cpu_count() or 1)
        for name, part in (GPU_PARTS if gpu else CPU_PARTS).items():
            on_step(name)
            result[name] = part(inputs, result)
    return result


def _best_batch(speeds: Mapping[str, Mapping[str, float]]) -> int:
    return int(best_pipeline(medians(speeds)).rpartition(" ")[2])
