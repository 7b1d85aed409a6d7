"""The lease of an output: a file with a heartbeat in OUT/_lease that keeps two runs from starting on it by accident.

Each run creates the file with the next number, which only one process can; the highest number holds the lease. A lease
ends when its run ends, when its process is known to be dead, or when its heartbeat stops for DEAD_AFTER seconds. The
lease is only a courtesy: the fence in `delta` is what keeps the commits of two runs apart, even if one was suspended.

A run gets its id with the lease. Ids sort in the order in which runs held it, whatever the clocks of machines say.
"""

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from craft_ray.core.errors import OutputBusyError, SettingsError, StoppedError
from craft_ray.core.logs import log, log_fields, with_log_fields
from craft_ray.storage.addresses import is_remote, join
from craft_ray.storage.failures import as_settings_error
from craft_ray.storage.storage import Storage

BEAT, DEAD_AFTER = 5.0, 30.0
"""Seconds between heartbeats, and seconds without one after which a run counts as dead."""

FOLDER = "_lease"

_TIME, _RUN_ID = "%Y%m%dT%H%M%S", re.compile(r"\d{8}T\d{6}-")

_FIELDS = {"run_id", "scope", "pid", "started", "beat"}


Wait = Callable[[float], bool | None]
"""Sleeps for some seconds, and returns True if a signal arrived meanwhile."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease that a run holds. lost: set if another run takes it, because this one was suspended"""

    run_id: str
    lost: threading.Event


@contextmanager
def hold_lease(storage: Storage, output: str, wait: Wait = time.sleep) -> Iterator[Lease]:
    """Hold the lease of an output.

    Raises OutputBusyError if another run holds the lease, StoppedError if a signal arrives while waiting, and
    SettingsError if the store of the output ignores conditional writes.
    """
    if is_remote(output):
        check_conditional_writes(storage, output)
    else:
        storage.check_writable(output)
    pid = os.getpid()
    process = {"scope": _pid_scope(), "pid": pid, "started": _process_start(pid), "beat": 0}
    url, mine = _acquire(storage, join(output, FOLDER), process, wait)
    ended, lost = threading.Event(), threading.Event()
    with log_fields(run_id=mine["run_id"]):
        beat = with_log_fields(partial(_beat, storage, url, mine, ended, lost))
    heart = threading.Thread(target=beat, name="craft-ray-lease", daemon=True)
    heart.start()
    refused = False
    try:
        yield Lease(mine["run_id"], lost)
    except SettingsError:
        refused = True
        raise
    finally:
        ended.set()
        heart.join()
        if not lost.is_set():
            released = _json(mine | {"released": True})
            storage.best_effort("release the lease", lambda once: once.write_bytes(url, released))
            if refused:
                storage.best_effort("remove the lease", lambda once: _leave_no_trace(once, output, url))


def _leave_no_trace(storage: Storage, output: str, url: str) -> None:
    """Remove a lease if there is nothing else in its output, and then the folders."""
    folder = join(output, FOLDER)
    if storage.names(output) == [folder]:
        storage.remove_files([url])
        if not is_remote(output):
            with suppress(OSError):  # another run has come
                os.rmdir(folder)
                os.rmdir(output)


def next_run_id(previous: str, now: datetime | None = None) -> str:
    """A new run id that sorts after the previous one: the time, or a second later than that id, and random digits."""
    now = now or datetime.now(UTC)
    if _RUN_ID.match(previous):
        now = max(now, datetime.strptime(previous[:15], _TIME).replace(tzinfo=UTC) + timedelta(seconds=1))
    return f"{now:{_TIME}}-{secrets.token_hex(4)}"


def lease_holder(storage: Storage, output: str) -> str | None:
    """Return the run that holds the lease of an output, or None.

    Does not wait for a heartbeat, so a dead run on another machine may still be returned.
    """
    folder = join(output, FOLDER)
    lease = _read(storage, _file(folder, _numbers(storage, folder)[-1]))
    if lease is None or lease.get("released") or (lease["scope"] == _pid_scope() and not _is_alive(lease)):
        return None
    run_id: str = lease["run_id"]
    return run_id


def check_conditional_writes(storage: Storage, output: str) -> None:
    """Raise SettingsError if an output in object storage cannot be written to, or if its store ignores If-None-Match,
    on which lease and fence depend; on disk they depend on hard links.
    """
    probe = join(output, FOLDER, f"probe-{secrets.token_hex(8)}")
    with as_settings_error(f"the output {output}"):
        storage.check_reachable(output)
        ignored = storage.create(probe, b"1") and storage.create(probe, b"2")
    storage.best_effort("remove a probe", lambda once: once.remove_files([probe]))
    if ignored:
        raise SettingsError(
            f"the store of {output} ignores If-None-Match, so that two runs could spoil each other's tables: "
            "use a store that honours it"
        )


def _acquire(storage: Storage, folder: str, process: dict[str, Any], wait: Wait) -> tuple[str, dict[str, Any]]:
    """Create the lease file with the next number once the previous lease has ended; return its address and content."""
    while True:
        numbers = _numbers(storage, folder)
        previous = _wait_until_ended(storage, _file(folder, numbers[-1]), wait)
        mine = {"run_id": next_run_id(previous["run_id"] if previous else ""), **process}
        url = _file(folder, numbers[-1] + 1)
        if storage.create(url, _json(mine)):
            storage.sync([url])  # files carry this run's id, and that of the next run must sort after it
            old = [_file(folder, number) for number in numbers[1:]]
            storage.best_effort("remove old leases", lambda once: once.remove_files(old))  # noqa: B023
            return url, mine


def _wait_until_ended(storage: Storage, url: str, wait: Wait) -> dict[str, Any] | None:
    """Wait until a lease has ended and return it, None if there is none.

    Raises OutputBusyError if the run that holds it is alive, StoppedError if a signal arrives.
    """
    first = _read(storage, url)
    if first is None or first.get("released"):
        return first
    if first["scope"] == _pid_scope():
        if _is_alive(first):
            raise OutputBusyError(_busy(first))
        return first
    log.warning("the run %s may still be at work here; waiting %.0f s for its heartbeat", first["run_id"], DEAD_AFTER)
    deadline = time.monotonic() + DEAD_AFTER
    while time.monotonic() < deadline:
        if wait(1.0):
            raise StoppedError
        now = _read(storage, url)
        if now is None or now.get("released"):
            return now
        if now["beat"] != first["beat"]:
            raise OutputBusyError(_busy(now))
    return first


def _busy(lease: dict[str, Any]) -> str:
    host = lease["scope"].split()[0]
    return (
        f"another run is at work on this output: {lease['run_id']}, process {lease['pid']} on {host}; "
        "let it end or stop it first"
    )


def _beat(storage: Storage, url: str, mine: dict[str, Any], ended: threading.Event, lost: threading.Event) -> None:
    beat = 0
    while not ended.wait(BEAT) and not lost.is_set():
        beat += 1
        content = _json(mine | {"beat": beat})

        def renew(once: Storage) -> None:
            if max(_numbers(once, url.rpartition("/")[0])) > int(Path(url).stem):
                lost.set()
            else:
                once.write_bytes(url, content)  # noqa: B023

        storage.best_effort("renew the lease", renew)


def _numbers(storage: Storage, folder: str) -> list[int]:
    """The sorted numbers of the leases in a folder, preceded by 0, which no lease has."""
    found = (Path(name).stem for name in storage.names(folder))
    return sorted({0, *(int(number) for number in found if number.isdecimal())})


def _read(storage: Storage, url: str) -> dict[str, Any] | None:
    """The content of a lease, or None if the file is missing or is not a lease."""
    try:
        content = json.loads(storage.read_bytes(url))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) and content.keys() >= _FIELDS else None


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _file(folder: str, number: int) -> str:
    return join(folder, f"{number:08}.json")


def _pid_scope() -> str:
    """Where process ids are unique: the host name, the boot id and the container's PID namespace."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    if boot.exists() and space.exists():
        parts += [boot.read_text().strip(), str(space.stat().st_ino)]
    return " ".join(parts)


def _is_alive(lease: dict[str, Any]) -> bool:
    started = _process_start(lease["pid"])
    return started is not None and abs(started - lease["started"]) < 2  # the system clock may have been adjusted


def _process_start(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
