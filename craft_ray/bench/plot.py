"""The benchmark's result as a picture."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")

OURS, THEIRS, IDEAL = "#0072b2", "#999999", "#d55e00"
"""Colours that the colour-blind tell apart (Okabe and Ito 2008)."""


def plot(result: dict[str, Any], file: Path) -> None:
    """Speeds of the model stage and of whole jobs, and how the host path feeds more and more replicas."""
    figure = Figure(figsize=(13, 4.5), layout="constrained")
    stage, job, scaling = figure.subplots(1, 3)
    speeds = result["model_stage"]["tokens_per_second"]
    _bars(stage, speeds, [not name.startswith("pipeline") for name in speeds])
    stage.set_title("model stage")
    jobs = result["whole_job"]["tokens_per_second"]
    names = {"pattern": "Ray Data's pattern", "exact": "craft_ray, fp32", "default": "craft_ray"}
    _bars(job, {names[name]: value for name, value in jobs.items()}, [name != "pattern" for name in jobs])
    job.set_title("whole job, from start to end")
    sleepers = result["sleepers"]
    counts = [int(count) for count in sleepers["replicas"]]
    scaling.plot(
        counts, [count * sleepers["rate_of_one"] for count in counts], "--", color=IDEAL, label="in proportion"
    )
    rates = [row["steady_tokens_per_second"] for row in sleepers["replicas"].values()]
    scaling.plot(counts, rates, "o-", color=OURS, label="measured")
    free = sleepers["without_sleep"]["steady_tokens_per_second"]
    scaling.axhline(free, color=THEIRS, label="host path full")
    scaling.set_xticks(counts)
    scaling.set(title="sleeping stand-in replicas", xlabel="replicas", ylabel="tokens/s", ylim=(0, None))
    scaling.legend()
    machine = result["machine"]
    figure.suptitle(f"{machine['processor']}, {machine['cores']} cores, GPU: {machine['gpu'] or 'none'}", fontsize=10)
    figure.savefig(file, dpi=120)


def plot_gpu(result: dict[str, Any], file: Path) -> None:
    """Speeds of each model in each form beside the pipeline, and of whole jobs beside the host path."""
    figure = Figure(figsize=(6 * (len(result["models"]) + 1), 6), layout="constrained")
    *stages, jobs = figure.subplots(1, len(result["models"]) + 1)
    for axes, (name, part) in zip(stages, result["models"].items(), strict=True):
        rows = part["pipeline"] | {form: row for form, row in part["forms"].items() if "failed" not in row}
        speeds = {row: found["tokens_per_second"] for row, found in rows.items()}
        _bars(axes, speeds, [row not in part["pipeline"] for row in speeds])
        axes.set_title(name)
    rates = {name: job["steady_tokens_per_second"] for name, job in result["jobs"].items()}
    points = {name: dict.fromkeys(("median", "lowest", "highest"), rate) for name, rate in rates.items()}
    _bars(jobs, points, ["replica" in name for name in rates])
    jobs.set_title("whole jobs, steady")
    figure.suptitle(f"{result['device']['name']}; {result['machine']['processor']}", fontsize=10)
    figure.savefig(file, dpi=120)


def _bars(axes: Any, speeds: dict[str, dict[str, float]], ours: list[bool]) -> None:
    medians = [speed["median"] for speed in speeds.values()]
    spread = [
        [speed["median"] - speed["lowest"] for speed in speeds.values()],
        [speed["highest"] - speed["median"] for speed in speeds.values()],
    ]
    colours = [OURS if own else THEIRS for own in ours]
    bars = axes.barh(list(speeds), medians, xerr=spread, color=colours)
    axes.bar_label(bars, [f" {median:,.0f}" for median in medians])
    axes.set(xlabel="tokens/s", xlim=(0, 1.5 * max(speed["highest"] for speed in speeds.values())))
    axes.invert_yaxis()
