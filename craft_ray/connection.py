"""The process and what is around it: a connection to Ray, and the signals that end a run."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from craft_ray.errors import SettingsError
from craft_ray.settings import Settings


@contextmanager
def connected(settings: Settings) -> Iterator[None]:
    """A connection to Ray: the cluster named, the one around this process, or a new local one that ends with it."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what people read is nobody's business
    address = settings.address or os.environ.get("RAY_ADDRESS")
    try:
        with _native_stderr_closed():
            if address:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            else:
                # "local", for a plain `ray.init` trips over the address file of a killed head.
                ray.init(
                    address="local",
                    num_cpus=settings.cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SettingsError(f"cannot reach the Ray cluster {address}: {str(error).splitlines()[0]}") from error
    try:
        yield
    finally:
        ray.shutdown()


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


SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop(threading.Event):
    """Set by SIGINT and SIGTERM; any number of them is one."""

    def listen(self) -> None:
        """Take the signals, from now on or again: ray.init puts handlers of its own in place of others."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, lambda *_: self.set())


@contextmanager
def stop_on_signal() -> Iterator[Stop]:
    """A `Stop` that listens; other handlers are put back at the end."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop.listen()
    try:
        yield stop
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
