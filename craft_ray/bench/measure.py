"""Calls taken in turn, commands under observation, and the machine that they are measured on."""

import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any, TypeVar

import psutil

from craft_ray.core.errors import RunError
from craft_ray.model.engines.processor import capabilities, processor_name
from craft_ray.tables.records import PACKAGES

T = TypeVar("T")

CRAFT_RAY = (sys.executable, "-m", "craft_ray")


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
    import torch  # heavy, and the commands under observation are started without it

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


@dataclass(slots=True)
class Peaks:
    """Peak memory in MB, as far as observed: all processes (shared pages counted once), and Ray's largest worker."""

    peak_all_mb: float = 0.0
    peak_worker_mb: float = 0.0


@contextmanager
def observed(root: psutil.Process, every: float = 1.0) -> Iterator[Peaks]:
    """Observe a process and its descendants in a thread, at intervals in seconds. Linux only."""
    peaks, ended = Peaks(), threading.Event()

    def look() -> None:
        total = 0.0
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.Error):  # it has ended meanwhile
                memory = process.memory_full_info()
                total += memory.pss / 1e6
                if "".join(process.cmdline()[:1]).startswith("ray::"):
                    peaks.peak_worker_mb = max(peaks.peak_worker_mb, round(memory.rss / 1e6, 1))
        peaks.peak_all_mb = max(peaks.peak_all_mb, round(total, 1))

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            look()
            while not ended.wait(every):
                look()

    thread = threading.Thread(target=watch, name="craft-ray-watch", daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended.

    cpu_seconds: of the command's process and the children that it waited for
    """

    output: str
    seconds: float
    cpu_seconds: float
    peaks: Peaks


def run_command(*arguments: str, environment: Mapping[str, str] | None = None, check: bool = True) -> Finished:
    """Run a command under observation. Raises RunError if it fails, unless `check` is False."""
    began, cpu_before = time.monotonic(), _cpu_of_children()
    with (
        subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        ) as process,
        observed(psutil.Process(process.pid)) as peaks,
    ):
        output, errors = process.communicate()
    if check and process.returncode:
        raise RunError(f"{' '.join(arguments)} ended with {process.returncode}: {errors[-2000:]}")
    return Finished(output, time.monotonic() - began, _cpu_of_children() - cpu_before, peaks)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
