"""Counters for Prometheus, through the metrics of Ray: each node serves those of its own processes.

Counters alone, for Ray forgets gauges that are not set again: speeds and shares are rates of them
(`cluster/grafana.json`). Prometheus sees them as `ray_<name>_total`, some seconds after they were counted.
"""

import os
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.util.metrics import Counter, Histogram

COUNTERS = {
    "craft_ray_documents": ("documents that became", ("status",)),
    "craft_ray_rejected": ("documents rejected", ("reason",)),
    "craft_ray_entities": ("entities committed", ("label",)),
    "craft_ray_shards": ("shards that closed", ("outcome",)),
    "craft_ray_tokens": ("word pieces that came from the model", ()),
    "craft_ray_bytes_read": ("bytes of shards that were read", ()),
    "craft_ray_replica_tokens": ("word pieces that a replica has labelled", ("replica",)),
    "craft_ray_replica_busy_seconds": ("time that a replica has computed", ("replica",)),
}
"""Name, meaning and tags of each counter."""

COMMIT_SECONDS = "craft_ray_commit_seconds"
"""The histogram of commits, by kind: append, replace, note."""


@contextmanager
def timed_commit(kind: str) -> Iterator[None]:
    """Count a commit and how long it takes."""
    began = time.monotonic()
    try:
        yield
    finally:
        _commits().observe(time.monotonic() - began, tags={"kind": kind})


class BusyTime:
    """Seconds in which at least one of several threads is at work."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at_work = 0
        self._since = 0.0

    def begin(self) -> None:
        """A thread begins."""
        with self._lock:
            if self._at_work == 0:
                self._since = self._clock()
            self._at_work += 1

    def end(self) -> float:
        """A thread is done; the seconds since the last of them was, or since the first began."""
        with self._lock:
            self._at_work -= 1
            seconds, self._since = self._clock() - self._since, self._clock()
            return seconds


_busy = BusyTime()


@contextmanager
def busy_replica(tokens: int) -> Iterator[None]:
    """Count a block that a replica computes."""
    _busy.begin()
    try:
        yield
    finally:
        replica = {"replica": f"{os.uname().nodename}:{os.getpid()}"}
        _counter("craft_ray_replica_tokens").inc(tokens, tags=replica)
        _counter("craft_ray_replica_busy_seconds").inc(_busy.end(), tags=replica)


class PrometheusCounters:
    """Counts on as totals grow."""

    def __init__(self) -> None:
        self._counted: Counts[tuple[str, str]] = Counts()

    def show(self, totals: Mapping[str, Mapping[str, int]]) -> None:
        """Count what is new since the last call; totals by counter, then by the value of its tag ("" without one)."""
        for name, values in totals.items():
            for value, total in values.items():
                more = total - self._counted[name, value]
                if more > 0:
                    tag = value.encode("ascii", "backslashreplace").decode()  # Ray takes no other characters
                    _counter(name).inc(more, tags=dict.fromkeys(COUNTERS[name][1], tag))
                    self._counted[name, value] = total


@lru_cache
def _counter(name: str) -> "Counter":
    from ray.util.metrics import Counter

    meaning, tags = COUNTERS[name]
    return Counter(name, meaning, tags)


@lru_cache
def _commits() -> "Histogram":
    from ray.util.metrics import Histogram

    return Histogram(
        COMMIT_SECONDS, "seconds per commit", boundaries=[0.05, 0.1, 0.3, 1, 3, 10, 30, 100], tag_keys=("kind",)
    )
