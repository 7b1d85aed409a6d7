"""The command, run in a process of its own and measured by the operating system."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from craft_ray.bench.memory import looked_at, peak_memory


def measured(*arguments: str) -> dict[str, Any]:
    """The summary that the command prints with --json, its seconds by the clock, and peaks of memory in MB.

    cpu_seconds:     of the command's own process
    cpu_seconds_all: with all that it starts, seen every tenth of a second
    peak_mb:         the command's own process
    peak_all_mb:     with all that it starts, shared pages counted once, seen every half second
    """
    own = psutil.Process().memory_full_info().pss / 1e6
    with peak_memory(0.5) as peaks, processor_seconds(0.1) as clocks:
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "craft_ray", *arguments, "--json"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
    assert status == 0, said
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "cpu_seconds_all": round(sum(clocks.values()), 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "peak_all_mb": round(peaks["peak_all_mb"] - own),
        "said": json.loads(said.splitlines()[-1]),
    }


@contextmanager
def processor_seconds(every: float) -> Iterator[dict[tuple[int, float], float]]:
    """Processor seconds of each process that this one starts, by id and start, as last seen while it is open."""
    seen: dict[tuple[int, float], float] = {}
    me = psutil.Process()

    def look() -> None:
        seen.update((key, seconds) for _, key, seconds in _clocks(me.children(recursive=True)))

    with looked_at(look, every):
        yield seen


def _clocks(processes: Iterable[psutil.Process]) -> Iterator[tuple[psutil.Process, tuple[int, float], float]]:
    """Each of some processes that is still there, its id and start, and its processor seconds so far."""
    for process in processes:
        try:
            clock, key = process.cpu_times(), (process.pid, process.create_time())
        except psutil.Error:
            continue  # it has ended meanwhile
        yield process, key, clock.user + clock.system


STAGES = {"prepare_shards": "reading", "Replica": "model", "write_blocks": "writing"}
"""Parts of the titles that Ray gives the processes of a run, and the name of the stage for each."""


@contextmanager
def seconds_by_stage(every: float) -> Iterator[Counter[str]]:
    """Processor seconds of a run's stages, of this process (`driver`) and of Ray's own (`ray`), while it is open.

    What a worker takes between two tasks counts to the first of them, and what it takes before any to `ray`.
    """
    taken: Counter[str] = Counter()
    seen: dict[tuple[int, float], tuple[str, float]] = {}
    me = psutil.Process()
    opened = time.time()

    def look() -> None:
        for process, key, seconds in _clocks([me, *me.children(recursive=True)]):
            last, before = seen.get(key, ("ray", 0.0 if key[1] > opened else seconds))
            stage = "driver" if process == me else _stage(process) or last
            taken[stage] += seconds - before
            seen[key] = stage, seconds

    with looked_at(look, every):
        yield taken


def _stage(process: psutil.Process) -> str | None:
    """The stage that a process is at work on, by its title; None if it is at none, or has ended."""
    try:
        title = "".join(process.cmdline()[:1])
    except psutil.Error:
        return None
    return next((stage for part, stage in STAGES.items() if part in title), None)
