"""The connection to Ray, which is imported only when one is made."""

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.logs import log, with_log_fields
from craft_ray.core.settings import Settings, WaitForSettings


@contextmanager
def ray_session(settings: Settings) -> Iterator[None]:
    """Connect to Ray: the cluster of the settings, the one this process already has, or a new local one.

    Raises SettingsError if the cluster cannot be reached, RunError if a local Ray does not start.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run reports nothing to anyone
    address = settings.address or os.environ.get("RAY_ADDRESS")
    ended = threading.Event()
    with ExitStack() as cleanup:
        try:
            with native_stderr_discarded():
                if address:
                    ray.init(address=address, **_QUIET)
                else:
                    _start_locally(settings.cpus, cleanup.enter_context(_private_folder()))
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if address:
                raise SettingsError(f"cannot reach the Ray cluster {address}: {reason}") from error
            raise RunError(f"a local Ray does not start: {reason}") from error
        cleanup.callback(ray.shutdown)
        cleanup.callback(ended.set)
        if address:
            watched = ray.get_runtime_context().gcs_address
            watch = with_log_fields(partial(_watch, watched, ended))
            threading.Thread(target=watch, name="craft-ray-watch", daemon=True).start()
        yield


_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}


def _start_locally(cpus: int | None, folder: str) -> None:
    """Start a local Ray whose sockets and logs are in a folder, and whose token this process and its children have."""
    import ray

    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with _local_options():
        # A plain `ray.init` would try the address that a killed head has left behind.
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, _temp_dir=folder, **_QUIET)


@contextmanager
def _private_folder() -> Iterator[str]:
    """A temporary folder that only this user can enter. After a failed run it stays, with Ray's logs."""
    parent = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    parent = parent if len(parent) < 32 else "/tmp"  # the path of a socket has at most 107 bytes
    folder = tempfile.mkdtemp(prefix="craft-ray-", dir=parent)
    try:
        yield folder
    except RunError:
        log.info("the logs of Ray are in %s", folder)
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _local_options() -> Iterator[None]:
    """Environment of a new local Ray: ports on loopback only, and idle workers stay.

    By default Ray kills idle workers beyond one per core after a second, and the stages of a run would start theirs
    again and again.
    """
    from ray._private import ray_constants

    workers = 4 * (os.cpu_count() or 1) + 4
    wanted = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_num_workers_soft_limit": str(workers)}
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(missing)
    # The first variable is read into this constant when Ray is imported (tests/project/test_private_parts.py).
    clustered = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clustered
        for name in missing:
            del os.environ[name]


def _watch(address: str, ended: threading.Event) -> None:
    """Warn while the cluster's head does not answer. Ray ends a process that has lost its cluster silently."""
    host, _, port = address.rpartition(":")
    answers = True
    while not ended.wait(2.0):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        except OSError as error:
            if answers:
                log.warning(
                    "the Ray cluster at %s does not answer (%s); if it stays away, this run ends with exit code 1, and "
                    "the same command continues from the last commit",
                    address,
                    error.strerror or error,
                )
            answers = False
        else:
            answers = True


@contextmanager
def native_stderr_discarded() -> Iterator[None]:
    """Discard what native code writes to stderr, such as Ray's notice of its log level; Python's stderr stays."""
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    before = sys.stderr
    if (stderr := sys.__stderr__) is not None and before is stderr:
        stderr.flush()
        # Left to the garbage collector to close, since another thread may be writing to it at the end.
        sys.stderr = open(os.dup(kept), "w", buffering=1, encoding=stderr.encoding, errors=stderr.errors)  # noqa: SIM115
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        sys.stderr = before


def wait_for_resources(wanted: WaitForSettings, stop: threading.Event) -> None:
    """Request missing resources from the cluster's autoscaler, and wait until they have joined or `stop` is set.

    Requests are placement groups, which end with this process. Those of `request_resources` outlive it, and would keep
    idle machines running.

    Raises RunError if none joins in time; with some of them the run starts anyway.
    """
    import ray

    missing = {name: number for name, number in (("GPU", wanted.gpus), ("CPU", wanted.cpus)) if _total(name) < number}
    if not missing:
        return
    deadline = time.monotonic() + wanted.seconds
    requests = [ray.util.placement_group([{name: 1}]) for name, number in missing.items() for _ in range(number)]
    try:
        while any(_total(name) < number for name, number in missing.items()):
            if stop.wait(0.5):
                return
            if time.monotonic() > deadline:
                break
    finally:
        for request in requests:
            ray.util.remove_placement_group(request)
    for name, number in missing.items():
        if (found := _total(name)) < number:
            late = f"{found:g} of {number} {name}s joined the cluster in {wanted.seconds:g} s"
            if found < 1:
                raise RunError(late)
            log.warning("%s; the run starts with these", late)


def nodes() -> list[dict[str, float]]:
    """Resources (`CPU`, `GPU`) of each node alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def is_connected() -> bool:
    """True if this process is connected to Ray. Does not import it."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _total(name: str) -> float:
    import ray

    return float(ray.cluster_resources().get(name, 0))
