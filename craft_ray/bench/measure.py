"""Repeated measurements, taken in turn."""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import psutil
import torch

from craft_ray.model.engines.processor import capabilities, processor_name
from craft_ray.tables.records import PACKAGES


@dataclass(frozen=True, slots=True)
class BenchSizes:
    """How much is measured. Tokens of each part, and how often it is repeated.

    stage:   tokens for the model stage, and the pipeline
    rival:   tokens for whole jobs in turn with Ray Data's pattern
    job:     tokens of the small one of the two jobs of ten to one
    citations: of the one large PubMed file
    """

    repeats: int = 3
    stage: int = 20_000
    rival: int = 250_000
    job: int = 700_000
    sleeper_rate: int = 50_000
    sleeper_seconds: int = 16
    citations: int = 30_000
    peak_seconds: float = 1.0

    @classmethod
    def quick(cls) -> "BenchSizes":
        """Minutes instead of a quarter of an hour; the figures are rough."""
        return cls(1, 4_000, 60_000, 60_000, 20_000, 3, 1_000, 0.2)


@dataclass(slots=True)
class Measured:
    """Repeated measurements of a speed."""

    values: list[float] = field(default_factory=list)

    def report(self) -> dict[str, float]:
        """Median and spread, rounded as far as they mean something."""
        return {
            "median": round(statistics.median(self.values), 1),
            "lowest": round(min(self.values), 1),
            "highest": round(max(self.values), 1),
            "repeats": len(self.values),
        }

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)


def machine() -> dict[str, Any]:
    """The machine that the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    able = capabilities()
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "number_formats": [name for name in ("avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16") if name in able],
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": gpu,
        "versions": {package: metadata.version(package) for package in (*PACKAGES, "openvino")},
    }


def in_turn(runs: Mapping[str, Callable[[], object]], tokens: int, repeats: int) -> dict[str, Measured]:
    """Each run once, then each again, as often as asked for; a first round warms up and does not count."""
    speeds = {name: Measured() for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            began = time.monotonic()
            run()
            if turn:
                speeds[name].values.append(tokens / (time.monotonic() - began))
    return speeds
