"""The command, run in a process of its own and measured by the operating system."""

import json
import os
import subprocess
import sys
import time
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
