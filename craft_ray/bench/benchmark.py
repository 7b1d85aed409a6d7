"""All figures of the benchmark, on the same inputs in one run, rivals and ours in turn; and their goals.

Speeds are in tokens per second. A token is a word piece of the documents; special tokens and padding do not count.
"""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from craft_ray.bench.gpu import device_peaks, gpu_jobs, model_forms, pipeline_rates
from craft_ray.bench.host_path import FORMATS, host_path
from craft_ray.bench.inputs import BenchSizes, Inputs, read_inputs
from craft_ray.bench.measure import machine
from craft_ray.bench.model_stage import model_stage
from craft_ray.bench.start import short_commands, start
from craft_ray.bench.whole_jobs import ten_times, whole_job
from craft_ray.core.errors import SettingsError
from craft_ray.model.loading import load_checkpoint

GOALS = {
    "model stage as by default / pipeline at its best batch size": ("at least", 6.0),
    "model stage in fp32, the pipeline's windows and spans / pipeline at its best batch size": ("at least", 2.1),
    "whole job as by default / Ray Data's pattern": ("at least", 5.0),
    "whole job in fp32, the same rows / Ray Data's pattern": ("at least", 1.0),
    "whole job, start-up apart / model stage alone on the same documents": ("at least", 0.9),
    "host path from jsonl, tokens per second and core": ("at least", 300_000.0),
    "host path from pubmed, tokens per second and core": ("at least", 300_000.0),
    "host path from jats, tokens per second and core": ("at least", 300_000.0),
    "time per document from five times to ten times the documents / from one time to five": ("at most", 1.05),
    "peak memory for ten times the documents / for one": ("at most", 1.15),
    "help, CPU time / that of `import ray`": ("at most", 1.0),
    "bad setting, CPU time / that of `import ray`": ("at most", 3.0),
    "nothing new, CPU time / that of `import ray`": ("at most", 4.0),
    "show, CPU time / that of `import ray`": ("at most", 6.0),
    "GPU: model stage at its best / pipeline at its best batch size, fp16": ("at least", 8.0),
    "GPU: model stage at its best / peak of its number format": ("at least", 0.5),
    "GPU: whole job at its best / the lesser of model stage and host path": ("at least", 0.9),
}

Part = Callable[[Inputs, Mapping[str, Any]], Any]
"""One part of a benchmark, from the inputs and the parts before it."""

CPU_PARTS: dict[str, Part] = {
    "model_stage": lambda inputs, _: model_stage(inputs),
    "host_path": lambda inputs, _: host_path(inputs),
    "whole_job": lambda inputs, done: whole_job(inputs, _best_batch(done["model_stage"])),
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


def cpu_goals(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `what`, `value`, `goal` and `met` of the content of bench.json."""
    stage = medians(result["model_stage"]["tokens_per_second"])
    jobs = medians(result["whole_job"]["tokens_per_second"])
    growth = result["ten_times"]
    once, five, ten = (growth[name] for name in ("once", "five_times", "ten_times"))
    pipeline = stage[best_pipeline(stage)]

    def added(small: Mapping[str, Any], large: Mapping[str, Any]) -> float:
        """Seconds per token that a large job has more than a small one, so that start-up cancels out."""
        seconds, tokens = (large[name] - small[name] for name in ("seconds_with_the_model", "tokens"))
        return float(seconds / tokens)

    return _check(
        "",
        stage[result["model_stage"]["default"]] / pipeline,
        stage["fp32, a sentence a window"] / pipeline,
        jobs["default"] / jobs["pattern"],
        jobs["exact"] / jobs["pattern"],
        1 / (added(once, ten) * growth["model_stage_on_the_same_documents"]),
        *(found and found["tokens_per_second"]["median"] for found in map(result["host_path"].get, FORMATS)),
        added(five, ten) / added(once, five),
        ten["peak_all_mb"] / once["peak_all_mb"],
        *(
            result["short_commands"][name]["cpu_to_import_ray"]
            for name in ("help", "bad setting", "nothing new", "show")
        ),
    )


def gpu_goals(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `what`, `value`, `goal` and `met` of the content of gpu.json."""
    worked = {name: row for name, row in result["forms"].items() if "failed" not in row}
    best = max(medians({name: row["tokens_per_second"] for name, row in worked.items()}).values())
    steady = {name: job["steady_tokens_per_second"] for name, job in result["jobs"].items()}
    job = max(rate for name, rate in steady.items() if "replica" in name)
    return _check(
        "GPU",
        best / max(medians(result["pipeline"]).values()),
        max(row["share_of_peak"] for row in worked.values()),
        job / min(best, steady["host path alone"]),
    )


def _best_batch(stage: Mapping[str, Any]) -> int:
    return int(best_pipeline(medians(stage["tokens_per_second"])).rpartition(" ")[2])


def medians(speeds: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: speed["median"] for name, speed in speeds.items()}


def best_pipeline(speeds: Mapping[str, float]) -> str:
    """The name of the pipeline at its best batch size."""
    return max((name for name in speeds if name.startswith("pipeline")), key=speeds.__getitem__)


def _check(which: str, *values: float | None) -> list[dict[str, Any]]:
    """One row per goal; `met` is None for what could not be measured."""
    goals = {what: goal for what, goal in GOALS.items() if what.startswith("GPU") == bool(which)}
    rows = []
    for (what, (direction, bound)), value in zip(goals.items(), values, strict=True):
        met = None if value is None else value >= bound if direction == "at least" else value <= bound
        rows.append({"what": what, "value": value and round(value, 3), "goal": f"{direction} {bound:,}", "met": met})
    return rows
