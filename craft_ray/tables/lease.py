"""Who is at work on an output: a file with a heartbeat in OUT/_lease, so that two runs do not meet by accident.

Each run creates the file with the next number, which only one can; the one with the highest number holds the lease.
It is over when its run ends, when its process is known to be gone, or when its heart has not beaten for a while. The
lease is a courtesy: what keeps two runs from mixing is the fence in `tables`, also where a run was only asleep.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from craft_ray.core.errors import OutputBusyError, SettingsError, StoppedError
from craft_ray.storage.addresses import is_remote, join
from craft_ray.storage.storage import Storage

BEAT, DEAD_AFTER = 5.0, 30.0
"""Seconds between heartbeats, and without one until a run counts as dead."""

FOLDER = "_lease"


@contextmanager
def hold_lease(
    storage: Storage, output: str, run_id: str, wait: Callable[[float], bool], notify: Callable[[str], None]
) -> Iterator[threading.Event]:
    """Hold the lease of an output; the event is set if another run has taken it, since this one was suspended.

    wait:   sleeps so many seconds, and is true if a signal came meanwhile
    notify: is told why the start is delayed

    Raises OutputBusyError if another run holds it, and StoppedError if a signal came while that was being found out.
    """
    check_creates_once(storage, output)
    mine = {"run_id": run_id, "place": _place(), "pid": os.getpid(), "born": _born(os.getpid()), "beat": 0}
    url = _acquire(storage, join(output, FOLDER), mine, wait, notify)
    ended, lost = threading.Event(), threading.Event()
    heart = threading.Thread(target=_beat, args=(storage, url, mine, ended, lost), name="craft-ray-lease", daemon=True)
    heart.start()
    try:
        yield lost
    finally:
        ended.set()
        heart.join()
        if not lost.is_set():
            storage.best_effort(
                "give the lease back", lambda once: once.write_bytes(url, _json(mine | {"released": True}))
            )


def lease_holder(storage: Storage, output: str) -> str | None:
    """The run that holds the lease of an output, as far as can be told at once; None if none does."""
    lease = _read(storage, _file(join(output, FOLDER), _numbers(storage, join(output, FOLDER))[-1]))
    if lease is None or lease.get("released") or (lease["place"] == _place() and not _lives(lease)):
        return None
    run_id: str = lease["run_id"]
    return run_id


def check_creates_once(storage: Storage, output: str) -> None:
    """Create one file twice: lease and fence hold only where the second is refused.

    Raises SettingsError if a store takes both.
    """
    if not is_remote(output):
        return  # a hard link, which no file system makes twice
    probe = join(output, FOLDER, f"probe-{secrets.token_hex(8)}")
    twice = storage.create(probe, b"1") and storage.create(probe, b"2")
    storage.best_effort("remove a probe", lambda once: once.remove(probe))
    if twice:
        raise SettingsError(
            f"the store of {output} ignores If-None-Match, so that two runs could spoil each other's tables: "
            "use a store that honours it"
        )


def _acquire(
    storage: Storage, folder: str, mine: dict[str, Any], wait: Callable[[float], bool], notify: Callable[[str], None]
) -> str:
    """Create the file with the next number, once the one before it is over."""
    while True:
        *old, last = _numbers(storage, folder)
        _outlive(storage, _file(folder, last), wait, notify)
        if storage.create(_file(folder, last + 1), _json(mine)):
            for number in [*old, last][1:]:
                storage.best_effort("remove an old lease", lambda once: once.remove(_file(folder, number)))  # noqa: B023
            return _file(folder, last + 1)


def _outlive(storage: Storage, url: str, wait: Callable[[float], bool], notify: Callable[[str], None]) -> None:
    """Return once a lease is over.

    Raises OutputBusyError as soon as its run shows that it lives.
    """
    first = _read(storage, url)
    if first is None or first.get("released"):
        return
    if first["place"] == _place():
        if not _lives(first):
            return
        raise OutputBusyError(_busy(first))
    notify(f"the run {first['run_id']} may be at work here still; waiting {DEAD_AFTER:.0f} s for a sign of it")
    deadline = time.monotonic() + DEAD_AFTER
    while time.monotonic() < deadline:
        if wait(1.0):
            raise StoppedError
        now = _read(storage, url)
        if now is None or now.get("released"):
            return
        if now["beat"] != first["beat"]:
            raise OutputBusyError(_busy(now))


def _busy(lease: dict[str, Any]) -> str:
    host = lease["place"].split()[0]
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
    """The numbers of the leases in a folder, sorted; with 0, which none has."""
    found = (Path(name).stem for name in storage.names(folder))
    return sorted({0, *(int(number) for number in found if number.isdecimal())})


def _read(storage: Storage, url: str) -> dict[str, Any] | None:
    """A lease's content; None if it is gone, or is none of ours."""
    try:
        content = json.loads(storage.read_bytes(url))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) and {"run_id", "place", "pid", "born", "beat"} <= set(content) else None


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode()


def _file(folder: str, number: int) -> str:
    return join(folder, f"{number:08}.json")


def _place() -> str:
    """The scope of a process id: the host, since its last boot, and the container."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = [socket.gethostname()]
    if boot.exists() and space.exists():
        parts += [boot.read_text().strip(), str(space.stat().st_ino)]
    return " ".join(parts)


def _lives(lease: dict[str, Any]) -> bool:
    born = _born(lease["pid"])
    return born is not None and abs(born - lease["born"]) < 2  # the system's clock may have been set meanwhile


def _born(pid: int) -> float | None:
    """When a process was started; None if there is none of this id."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
