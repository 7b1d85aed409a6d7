"""Goals of the benchmark, figure by figure; pure."""

from collections.abc import Callable
from functools import partial
from typing import Any

from craft_ray.bench.baselines import PIPELINE_BATCHES


def _short_command(result: dict[str, Any], name: str) -> float:
    return float(result["short_commands"][name]["cpu_to_import_ray"])


def _added_seconds(result: dict[str, Any], small: str, large: str) -> float:
    """Seconds that a large job takes for each token that it has more than a small one; their start-up cancels out."""
    jobs = [result["ten_times"][name] for name in (small, large)]
    seconds, tokens = (jobs[1][name] - jobs[0][name] for name in ("seconds_with_the_model", "tokens"))
    return float(seconds / tokens)


GOALS: tuple[tuple[str, float, str, Callable[[dict[str, Any]], float]], ...] = (
    (
        "model stage as by default / pipeline at its best batch size",
        6.0,
        "at least",
        lambda r: _stage(r, r["model_stage"]["default"]) / _pipeline(r),
    ),
    (
        "model stage in fp32, the pipeline's windows and spans / pipeline at its best batch size",
        2.1,
        "at least",
        lambda r: _stage(r, "fp32, a sentence a window") / _pipeline(r),
    ),
    (
        "model stage as by default / matrix peak of its number format",
        0.8,
        "at least",
        lambda r: r["matrix_peak"]["formats"][r["model_stage"]["default"]]["share_of_peak"],
    ),
    ("model stage in fp32 / matrix peak of fp32", 0.8, "at least", lambda r: _share(r, "fp32")),
    (
        "whole job as by default / Ray Data's pattern",
        5.0,
        "at least",
        lambda r: _job(r, "default") / _job(r, "pattern"),
    ),
    (
        "whole job in fp32, the same rows / Ray Data's pattern",
        1.0,
        "at least",
        lambda r: _job(r, "exact") / _job(r, "pattern"),
    ),
    (
        "whole job, start-up apart / model stage alone on the same documents",
        0.9,
        "at least",
        lambda r: 1 / (_added_seconds(r, "once", "ten_times") * r["ten_times"]["model_stage_on_the_same_documents"]),
    ),
    *(
        (
            f"host path from {name}, tokens per second and core",
            300_000.0,
            "at least",
            partial(lambda r, name: r["host_path"]["by_input"][name]["all"]["median"], name=name),
        )
        for name in ("jsonl", "pubmed", "jats")
    ),
    (
        "time per document from five times to ten times the documents / from one time to five",
        1.05,
        "at most",
        lambda r: _added_seconds(r, "five_times", "ten_times") / _added_seconds(r, "once", "five_times"),
    ),
    (
        "peak memory for ten times the documents / for one",
        1.15,
        "at most",
        lambda r: r["ten_times"]["ten_times"]["peak_all_mb"] / r["ten_times"]["once"]["peak_all_mb"],
    ),
    *(
        (f"{name}, CPU time / that of `import ray`", goal, "at most", partial(_short_command, name=name))
        for name, goal in (("help", 1.0), ("bad setting", 3.0), ("nothing new", 4.0), ("show", 6.0))
    ),
    (
        "one large PubMed file, MB of the largest worker",
        1500,
        "at most",
        lambda r: r["pubmed_file"]["peak_worker_mb"],
    ),
    (
        "one large PubMed file, rows before it is read to its end",
        1,
        "at least",
        lambda r: float(r["pubmed_file"]["rows_before_the_input_was_read"]),
    ),
)
"""Goals: a figure of the result, the goal, and its direction."""


def check_goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per goal: `what`, `value`, `goal`, and whether it is `met`."""
    rows = []
    for name, goal, direction, figure in GOALS:
        value = figure(result)
        met = value >= goal if direction == "at least" else value <= goal
        rows.append({"what": name, "value": round(value, 3), "goal": f"{direction} {goal:,}", "met": met})
    return rows


def _stage(result: dict[str, Any], name: str) -> float:
    return float(result["model_stage"]["tokens_per_second"][name]["median"])


def _pipeline(result: dict[str, Any]) -> float:
    return max(_stage(result, f"pipeline, batch {size}") for size in PIPELINE_BATCHES)


def _share(result: dict[str, Any], precision: str) -> float:
    return float(result["matrix_peak"]["formats"][precision]["share_of_peak"])


def _job(result: dict[str, Any], name: str) -> float:
    return float(result["whole_job"]["tokens_per_second"][name]["median"])
