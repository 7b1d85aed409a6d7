"""The goals of both benchmarks, and which of them were met."""

from collections.abc import Mapping
from typing import Any

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
        *(result["host_path"][name]["tokens_per_second"]["median"] for name in ("jsonl", "pubmed", "jats")),
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


def medians(speeds: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: speed["median"] for name, speed in speeds.items()}


def best_pipeline(speeds: Mapping[str, float]) -> str:
    """The name of the pipeline at its best batch size."""
    return max((name for name in speeds if name.startswith("pipeline")), key=speeds.__getitem__)


def _check(which: str, *values: float) -> list[dict[str, Any]]:
    goals = {what: goal for what, goal in GOALS.items() if what.startswith("GPU") == bool(which)}
    rows = []
    for (what, (direction, bound)), value in zip(goals.items(), values, strict=True):
        met = value >= bound if direction == "at least" else value <= bound
        rows.append({"what": what, "value": round(value, 3), "goal": f"{direction} {bound:,}", "met": met})
    return rows
