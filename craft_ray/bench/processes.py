"""Memory of a process and all that it starts, and commands under observation."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from craft_ray.core.errors import RunError

CRAFT_RAY = (sys.executable, "-m", "craft_ray")


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
