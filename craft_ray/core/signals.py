"""The signals that end a run."""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from craft_ray.core.errors import StoppedError
from craft_ray.core.logs import logs_json

SIGNALS = (signal.SIGINT, signal.SIGTERM)

FORCED_AFTER = 0.5
"""Seconds after a first Ctrl-C within which another counts as the same, passed on by a shell or a wrapper."""

STOPPING = "\r\x1b[2Kstopping: committing finished work; press Ctrl-C again to quit now\n"
"""Overwrites the line of the cursor, which has the progress bar and the terminal's own `^C`."""

FORCED = "\r\x1b[2K\x1b[?25hquit: the same command continues from the last commit\n"
"""Also shows the cursor again, which the progress bar has hidden."""


class StopRequest(threading.Event):
    """An event that SIGINT and SIGTERM set. A second Ctrl-C ends the process, which is as safe as SIGKILL."""

    def __init__(self) -> None:
        super().__init__()
        self._interrupted: float | None = None

    def listen(self) -> None:
        """Install the handlers, again after ray.init, which replaces them."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._take)

    def _take(self, number: int, _: object) -> None:
        if number == signal.SIGINT:
            if self._interrupted is None:
                self._interrupted = time.monotonic()
                _print(STOPPING)
            elif time.monotonic() - self._interrupted >= FORCED_AFTER:
                _print(FORCED)
                os._exit(StoppedError.exit_code)
        # In another thread, since a signal may interrupt `wait`, which holds the lock that `set` takes.
        _thread.start_new_thread(self.set, ())


def _print(line: str) -> None:
    """Write to the terminal, if there is one, without buffering."""
    if sys.stderr is not None and sys.stderr.isatty() and not logs_json():
        os.write(sys.stderr.fileno(), line.encode())


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Yield a StopRequest, and restore the earlier handlers at the end."""
    stop = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop.listen()
    try:
        yield stop
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
