"""The command, run in a process of its own and measured by the operating system."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
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
        for process in me.children(recursive=True):
            try:
                clock = process.cpu_times()
                seen[process.pid, process.create_time()] = clock.user + clock.system
            except psutil.Error:
                continue  # it has ended meanwhile

    with looked_at(look, every):
        yield seen


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
        for process in [me, *me.children(recursive=True)]:
            try:
                clock, key = process.cpu_times(), (process.pid, process.create_time())
                title = "driver" if process is me else process.cmdline()[0]
            except (psutil.Error, IndexError):
                continue  # it has ended meanwhile
            seconds = clock.user + clock.system
            last, before = seen.get(key, ("ray", 0.0 if key[1] > opened else seconds))
            stage = next((stage for part, stage in STAGES.items() if part in title), last)
            stage = title if process is me else stage
            taken[stage] += seconds - before
            seen[key] = stage, seconds

    with looked_at(look, every):
        yield taken
