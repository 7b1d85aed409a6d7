"""The signals that end a run."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest(threading.Event):
    """Set by SIGINT and SIGTERM; any number of them is one."""

    def listen(self) -> None:
        """Take the signals, from now on or again: ray.init puts handlers of its own in place of others."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, lambda *_: self.set())


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
