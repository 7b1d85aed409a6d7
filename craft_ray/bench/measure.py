"""Calls taken in turn, their speeds, and the machine that they are measured on."""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any, TypeVar

import psutil
import torch

from craft_ray.model.engines.processor import capabilities, processor_name
from craft_ray.tables.records import PACKAGES

T = TypeVar("T")


def timed(call: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> float:
    """Seconds that a call takes."""
    began = clock()
    call()
    return clock() - began


def in_turn(runs: Mapping[str, Callable[[], T]], repeats: int, warm_up: bool = True) -> dict[str, list[T]]:
    """Results of each run, taken in turn so that drift of the machine affects all alike; a warm-up is not counted."""
    rounds = [{name: run() for name, run in runs.items()} for _ in range(repeats + warm_up)][warm_up:]
    return {name: [results[name] for results in rounds] for name in runs}


def spread(values: Sequence[float]) -> dict[str, float]:
    numbers = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, 1) for name, value in numbers.items()} | {"repeats": len(values)}


def rates(tokens: int, seconds: Sequence[float]) -> dict[str, float]:
    """Tokens per second, for runs of so many seconds."""
    return spread([tokens / value for value in seconds])


def machine() -> dict[str, Any]:
    able = capabilities()
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "number_formats": [name for name in ("avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16") if name in able],
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": repr(torch.cuda.get_device_properties()) if torch.cuda.is_available() else None,
        "cuda": torch.version.cuda,
        "versions": {package: metadata.version(package) for package in (*PACKAGES, "openvino")},
    }
