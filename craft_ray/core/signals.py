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
"""Seconds after a first Ctrl-C within which another is the same one, passed on by a shell or a wrapper."""

STOPPING = "\r\x1b[2Kstopping: what is done is being committed; Ctrl-C again ends at once\n"
"""Written over the line that the cursor is in, which is a bar of progress and the terminal's own `^C`."""

FORCED = "\r\x1b[2K\x1b[?25hended at once: the same command goes on from what is committed\n"
"""The same for a second Ctrl-C, which leaves a bar no time to go; the cursor, which the bar hides, is shown again."""


class StopRequest(threading.Event):
    """Set by SIGINT and SIGTERM; any number of them is one, but a second Ctrl-C ends the process.

    That loses no more than SIGKILL does, which is nothing that is committed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._interrupted: float | None = None

    def listen(self) -> None:
        """Take the signals, from now on or again: ray.init puts handlers of its own in place of others."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._take)

    def _take(self, number: int, _: object) -> None:
        if number == signal.SIGINT:
            if self._interrupted is None:
                self._interrupted = time.monotonic()
                _tell(STOPPING)
            elif time.monotonic() - self._interrupted >= FORCED_AFTER:
                _tell(FORCED)
                os._exit(StoppedError.exit_code)
        # In a thread of its own: a signal may find this one within `wait`, holding the lock that `set` takes.
        _thread.start_new_thread(self.set, ())


def _tell(line: str) -> None:
    """Write to the terminal, if there is one, past all that buffers."""
    if sys.stderr.isatty() and not logs_json():
        os.write(sys.stderr.fileno(), line.encode())


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """A `StopRequest` that listens; other handlers are put back at the end."""
    stop = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop.listen()
    try:
        yield stop
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)
