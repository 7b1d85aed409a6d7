"""Speeds as a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

matplotlib.use("Agg")

OURS, THEIRS = "#0072b2", "#999999"
"""Distinct to the colour-blind (Okabe and Ito 2008)."""

NAMES = {"pattern": "Ray Data's pattern", "exact": "craft_ray, fp32", "default": "craft_ray"}


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Draw bench.png or gpu.png: the model alone and whole jobs, compared with what a user would run instead."""
    if "forms" in result:
        worked = {name: row["tokens_per_second"] for name, row in result["forms"].items() if "failed" not in row}
        stage = result["pipeline"] | worked
        steady = {name: job["steady_tokens_per_second"] for name, job in result["jobs"].items()}
        jobs = {name: dict.fromkeys(("median", "lowest", "highest"), rate) for name, rate in steady.items()}
    else:
        stage = result["model_stage"]["tokens_per_second"]
        jobs = {NAMES[name]: speed for name, speed in result["whole_job"]["tokens_per_second"].items()}
    figure = Figure(figsize=(12, 5), layout="constrained")
    titles = {"model stage": stage, "whole job": jobs}
    for axes, (title, speeds) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        medians, lowest, highest = (
            np.array([speed[name] for speed in speeds.values()]) for name in ("median", "lowest", "highest")
        )
        colours = [THEIRS if name.startswith(("pipeline", "Ray Data", "host path")) else OURS for name in speeds]
        bars = axes.barh(list(speeds), medians, xerr=[medians - lowest, highest - medians], color=colours)
        axes.bar_label(bars, [f" {median:,.0f}" for median in medians])
        axes.set(title=title, xlabel="tokens/s", xlim=(0, 1.5 * highest.max()))
        axes.invert_yaxis()
    machine = result["machine"]
    figure.suptitle(f"{machine['processor']}, {machine['cores']} cores, GPU: {machine['gpu'] or 'none'}", fontsize=10)
    figure.savefig(file, dpi=120)
