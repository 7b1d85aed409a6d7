"""Drivers that stand still before each of their writes until they are told to go on, or end there, as if killed."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from deltalake import DeltaTable

from craft_ray.storage.storage import Storage
from craft_ray.tables import lease
from craft_ray.tables.delta import NumberedTable
from tests.support.local_run import ProcessGone

STEPS = (
    (Storage, "write_bytes"),
    (Storage, "create"),
    (Storage, "remove_files"),
    (Storage, "remove"),
    (Storage, "publishing"),
    (NumberedTable, "commit"),
    (DeltaTable, "create_write_transaction"),
    (NumberedTable, "vacuum"),
    (DeltaTable, "restore"),
)
"""Writes, and what comes shortly before them; a commit is told with its table. A look at another driver's lease is one
more step, `look`."""

SILENCE = lease.DEAD_AFTER / 2
"""Seconds that pass at each look at another driver's lease; no heart beats, as if all other drivers were suspended."""

_current = threading.local()


class Driver:
    """A process on a host of its own.

    skew: seconds by which the host's clock is fast
    """

    def __init__(self, name: str, skew: float, work: Callable[["Driver"], None]) -> None:
        self.name, self.skew = name, skew
        self.at = "start"
        self.error: Exception | None = None
        self._now = 0.0
        self._killed = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=[work], name=name, daemon=True)
        self._thread.start()
        self._stopped.acquire()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def step(self) -> str:
        """Go on until shortly before the next step, or to the end; return which."""
        if self.alive:
            self._go.release()
            self._stopped.acquire()
        if self.at == "end":
            self._thread.join()
        return self.at

    def kill(self) -> None:
        self._killed = True
        while self.alive:
            self.step()

    def wait(self, seconds: float) -> bool:
        """What `hold_lease` waits with."""
        self._now += SILENCE
        self.pause("look")
        return False

    def monotonic(self) -> float:
        return self._now

    def pause(self, before: str) -> None:
        if self._killed:
            raise ProcessGone
        self.at = before
        self._stopped.release()
        self._go.acquire()
        if self._killed:
            raise ProcessGone

    def _run(self, work: Callable[["Driver"], None]) -> None:
        _current.driver = self
        try:
            with suppress(ProcessGone):  # a killed process says nothing
                self.pause("start")
                work(self)
        except Exception as error:  # looked at by the test
            self.error = error
        self.at = "end"
        self._stopped.release()


def current() -> Driver | None:
    return getattr(_current, "driver", None)


def _stepwise(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(this: Any, *arguments: Any, **named: Any) -> Any:
        if (driver := current()) is not None:
            driver.pause(f"{name} {this.path.rpartition('/')[2]}" if isinstance(this, NumberedTable) else name)
        return original(this, *arguments, **named)

    return call


@contextmanager
def stepwise() -> Iterator[None]:
    """Drivers stand still before their writes; each has a clock, and a host name."""
    next_run_id, scope, monotonic = lease.next_run_id, lease._pid_scope, lease.time.monotonic

    def run_id(previous: str) -> str:
        driver = current()
        return next_run_id(previous, datetime.now(UTC) + timedelta(seconds=driver.skew if driver else 0))

    def monotonic_of_driver() -> float:
        driver = current()
        return driver.monotonic() if driver else monotonic()

    with pytest.MonkeyPatch.context() as patched:
        for owner, name in STEPS:
            patched.setattr(owner, name, _stepwise(getattr(owner, name), name))
        patched.setattr(lease, "next_run_id", run_id)
        patched.setattr(lease, "_pid_scope", lambda: driver.name if (driver := current()) else scope())
        patched.setattr(lease, "time", SimpleNamespace(monotonic=monotonic_of_driver, sleep=lease.time.sleep))
        yield
