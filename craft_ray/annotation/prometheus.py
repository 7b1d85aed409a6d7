"""Metrics for Prometheus, exported by Ray: each node serves those of its own processes.

All are counters, because Ray drops gauges that are not set again: dashboards derive speeds and shares from them
(`cluster/grafana.json`). Prometheus sees them as `ray_<name>_total`, a few seconds late.
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
"""Description and tags of each counter."""

COMMIT_SECONDS = "craft_ray_commit_seconds"
"""The histogram of commits, by kind: append, replace, note."""


@contextmanager
def timed_commit(kind: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        _commits().observe(time.monotonic() - began, tags={"kind": kind})


class BusyTime:
    """Measure the time in which at least one of several threads is working."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._working = 0
        self._since = 0.0

    def begin(self) -> None:
        with self._lock:
            if self._working == 0:
                self._since = self._clock()
            self._working += 1

    def end(self) -> float:
        """Return the seconds since the previous `end`, or since `begin` if no thread was working before."""
        with self._lock:
            self._working -= 1
            seconds, self._since = self._clock() - self._since, self._clock()
            return seconds


_busy = BusyTime()


@contextmanager
def busy_replica(tokens: int) -> Iterator[None]:
    _busy.begin()
    try:
        yield
    finally:
        replica = {"replica": f"{os.uname().nodename}:{os.getpid()}"}
        _counter("craft_ray_replica_tokens").inc(tokens, tags=replica)
        _counter("craft_ray_replica_busy_seconds").inc(_busy.end(), tags=replica)


class PrometheusCounters:
    """Increase Ray's counters from running totals."""

    def __init__(self) -> None:
        self._counted: Counts[tuple[str, str]] = Counts()

    def show(self, totals: Mapping[str, Mapping[str, int]]) -> None:
        """Add the growth since the last call. Totals are keyed by counter, then by tag value ("" without a tag)."""
        for name, values in totals.items():
            for value, total in values.items():
                growth = total - self._counted[name, value]
                if growth > 0:
                    tag = value.encode("ascii", "backslashreplace").decode()  # Ray rejects other characters
                    _counter(name).inc(growth, tags=dict.fromkeys(COUNTERS[name][1], tag))
                    self._counted[name, value] = total


@lru_cache
def _counter(name: str) -> "Counter":
    from ray.util.metrics import Counter

    description, tags = COUNTERS[name]
    return Counter(name, description, tags)


@lru_cache
def _commits() -> "Histogram":
    from ray.util.metrics import Histogram

    return Histogram(
        COMMIT_SECONDS, "seconds per commit", boundaries=[0.05, 0.1, 0.3, 1, 3, 10, 30, 100], tag_keys=("kind",)
    )
