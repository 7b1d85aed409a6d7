"""Processes under observation: memory and CPU time of a command, or of this process, and all that it starts."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import psutil

from craft_ray.core.errors import RunError

STAGES = {"prepare_shards": "reading", "Replica": "model", "write_blocks": "writing"}
"""Stages of a run by parts of the titles that Ray gives to its worker processes."""


@dataclass(slots=True)
class Usage:
    """What a process and its descendants have used, as far as observed.

    peak_all_mb:    all of them, shared pages counted once
    peak_driver_mb: the process itself
    peak_worker_mb: the largest worker of Ray
    cpu_seconds:    by stage of a run, besides `driver` (the process itself) and `ray` (all others)
    """

    peak_all_mb: float = 0.0
    peak_driver_mb: float = 0.0
    peak_worker_mb: float = 0.0
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    @property
    def peaks(self) -> dict[str, float]:
        return {name: round(value, 1) for name, value in asdict(self).items() if name.startswith("peak")}


@contextmanager
def observed(root: psutil.Process, every: float = 0.1, memory_every: float = 5.0) -> Iterator[Usage]:
    """Observe a process and its descendants in a thread, at the given intervals in seconds.

    CPU time that a worker uses between two tasks counts to the first of them. Linux only.
    """
    usage, ended = Usage(), threading.Event()
    seen = {(p.pid, p.create_time()): ("ray", _cpu_seconds(p)) for p in [root, *root.children(recursive=True)]}

    def look(with_memory: bool) -> None:
        total = 0.0
        for process in _descendants(root):
            try:
                with process.oneshot():
                    key, seconds = (process.pid, process.create_time()), _cpu_seconds(process)
                    title = "".join(process.cmdline()[:1])
                memory = process.memory_full_info() if with_memory else None
            except psutil.Error:
                continue  # it has ended meanwhile
            last, before = seen.get(key, ("ray", 0.0))
            stage = "driver" if process == root else _stage(title) or last
            usage.cpu_seconds[stage] = usage.cpu_seconds.get(stage, 0.0) + seconds - before
            seen[key] = stage, seconds
            if memory is not None:
                total += memory.pss / 1e6
                if process == root:
                    usage.peak_driver_mb = max(usage.peak_driver_mb, memory.rss / 1e6)
                elif title.startswith("ray::"):
                    usage.peak_worker_mb = max(usage.peak_worker_mb, memory.rss / 1e6)
        usage.peak_all_mb = max(usage.peak_all_mb, total)

    def watch() -> None:
        due = time.monotonic()
        while True:
            with_memory = time.monotonic() >= due
            due = time.monotonic() + memory_every if with_memory else due
            look(with_memory)
            if ended.wait(every):
                return

    thread = threading.Thread(target=watch, name="craft-ray-watch", daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        ended.set()
        thread.join()


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _stage(title: str) -> str | None:
    return next((stage for part, stage in STAGES.items() if part in title), None)


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended.

    cpu_seconds: of the command's process and the children that it waited for
    """

    output: str
    seconds: float
    cpu_seconds: float
    usage: Usage


def run_command(
    *arguments: str, environment: Mapping[str, str] | None = None, memory_every: float = 5.0, check: bool = True
) -> Finished:
    """Run a command under observation. Raises RunError if it fails, unless `check` is False."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=errors, env=environment and {**os.environ, **environment}
        )
        assert process.stdout is not None
        with process.stdout, observed(psutil.Process(process.pid), memory_every=memory_every) as usage:
            output = process.stdout.read().decode()
            _, status, resources = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if check and process.returncode:
            errors.seek(0)
            raise RunError(f"{' '.join(arguments)} ended with {process.returncode}: {errors.read().decode()[-2000:]}")
    return Finished(output, seconds, resources.ru_utime + resources.ru_stime, usage)
