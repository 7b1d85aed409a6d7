"""A connection to Ray, which is imported only where one is made."""

import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.logs import log
from craft_ray.core.settings import Settings, WaitForSettings


@contextmanager
def ray_session(settings: Settings) -> Iterator[None]:
    """A connection to Ray: the cluster named, the one around this process, or a new local one that ends with it."""
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run sends nothing about itself to anyone
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = settings.address or os.environ.get("RAY_ADDRESS")
    try:
        with _native_stderr_closed():
            if address:
                ray.init(address=address, **quiet)
            else:
                _have_a_token()
                with _on_loopback():
                    # "local", for a plain `ray.init` trips over the address file of a killed head.
                    ray.init(address="local", num_cpus=settings.cpus, include_dashboard=False, **quiet)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if address:
            raise SettingsError(f"cannot reach the Ray cluster {address}: {reason}") from error
        raise RunError(f"a local Ray does not start: {reason}") from error
    ended = threading.Event()
    if address:
        watched = ray.get_runtime_context().gcs_address
        threading.Thread(target=_watch, args=(watched, ended), name="craft-ray-watch", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        ray.shutdown()


def _have_a_token() -> None:
    """Give a new local Ray the token that it keeps in the home folder, where it can keep none there."""
    if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    try:
        folder = Path.home() / ".ray"  # as Ray makes it
        folder.mkdir(parents=True, exist_ok=True)
        kept = os.access(folder, os.W_OK)
    except (OSError, RuntimeError):  # a read-only home, or none at all
        kept = False
    if not kept:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # for this process and those that Ray starts from it


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Settings that a new local Ray is started with: its ports on loopback alone, its idle workers kept.

    After a second Ray kills idle workers beyond one per core. The stages of a run would start theirs again and again.
    """
    from ray._private import ray_constants

    workers = 4 * (os.cpu_count() or 1) + 4
    wanted = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_num_workers_soft_limit": str(workers)}
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    clustered, ray_constants.ENABLE_RAY_CLUSTER = (
        ray_constants.ENABLE_RAY_CLUSTER,
        False,
    )  # read from the first at import
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clustered
        for name in missing:
            del os.environ[name]


def _watch(address: str, ended: threading.Event) -> None:
    """Say so when the cluster's head does not answer: Ray ends a process that has lost its cluster without a word."""
    host, _, port = address.rpartition(":")
    answers = True
    while not ended.wait(2.0):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            if answers:
                log.warning(
                    "the Ray cluster at %s does not answer (%s); if it stays away, this run ends with exit code 1, and "
                    "the same command goes on from what is committed",
                    address,
                    error.strerror or error,
                )
            answers = False
        else:
            answers = True


@contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Keep the notice of Ray's native code about its log level off the terminal; Python's own errors come through."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def wait_for_resources(wanted: WaitForSettings, stop: threading.Event) -> None:
    """Wait until the cluster has what is wanted; its autoscaler, if it has one, is asked for what is missing.

    Asked by placement groups, each of one bundle, since those end with this process however it ends: what
    `request_resources` asks for stays asked for, and would keep machines up that nobody uses. Returns early if told to
    stop.

    Raises RunError if none of what is wanted is there in time; if some is, the run goes on with that.
    """
    import ray

    missing = {name: number for name, number in (("GPU", wanted.gpus), ("CPU", wanted.cpus)) if _total(name) < number}
    if not missing:
        return
    deadline = time.monotonic() + wanted.seconds
    asked = [ray.util.placement_group([{name: 1}]) for name, number in missing.items() for _ in range(number)]
    try:
        while any(_total(name) < number for name, number in missing.items()):
            if stop.wait(0.5):
                return
            if time.monotonic() > deadline:
                break
    finally:
        for group in asked:
            ray.util.remove_placement_group(group)
    for name, number in missing.items():
        if (found := _total(name)) < number:
            late = f"{found:g} of {number} {name}s joined the cluster in {wanted.seconds:g} s"
            if found < 1:
                raise RunError(late)
            log.warning("%s; the run goes on with these", late)


def nodes() -> list[dict[str, float]]:
    """Resources (`CPU`, `GPU`) of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def is_connected() -> bool:
    """True if this process is connected to Ray already; a process that has not imported it is not."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _total(name: str) -> float:
    import ray

    return float(ray.cluster_resources().get(name, 0))
