"""Peak memory of a process and all that it starts."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psutil


@contextmanager
def peak_memory(every: float = 5.0) -> Iterator[Mapping[str, float]]:
    """Peaks in MB while it is open, looked at when it is opened and every so many seconds.

    peak_all_mb:    all processes from this one down, shared pages counted once
    peak_driver_mb: this process
    peak_worker_mb: the largest worker of Ray
    """
    peaks = {"peak_all_mb": 0.0, "peak_driver_mb": 0.0, "peak_worker_mb": 0.0}

    def look() -> None:
        total = 0.0
        for process in [me, *me.children(recursive=True)]:
            try:
                memory = process.memory_full_info()
                total += memory.pss / 1e6
                kind = "driver" if process is me else "worker" if process.name().startswith("ray::") else None
                if kind is not None:
                    peaks[f"peak_{kind}_mb"] = max(peaks[f"peak_{kind}_mb"], round(memory.rss / 1e6, 1))
            except psutil.Error:
                continue  # it has ended meanwhile
        peaks["peak_all_mb"] = max(peaks["peak_all_mb"], round(total, 1))

    me = psutil.Process()
    with looked_at(look, every):
        yield peaks


@contextmanager
def looked_at(look: Callable[[], None], every: float) -> Iterator[None]:
    """Call `look` at once and every so many seconds, in a thread of its own, while it is open."""
    ended = threading.Event()

    def watch() -> None:
        look()  # a job may be over before it is time for another
        while not ended.wait(every):
            look()

    thread = threading.Thread(target=watch, name="craft-ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
