"""Local files that give nothing for too long, as on a mount that hangs: they are put aside, and others are read."""

import io
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, BinaryIO, TypeVar

from craft_ray.core.errors import ShardError
from craft_ray.storage.guarded import guarded

_Result = TypeVar("_Result")

_BUFFER = 1 << 20
"""Bytes of a read, since each is handed to another thread."""

_SHORTEST = 1.0
"""Seconds that a file may stall, however many have before it."""

_Call = tuple[Callable[[], Any], "Future[Any]"]


class Stalls:
    """Opens files one after the other. Calls run in a thread, which is left behind if one does not return.

    patience: seconds for which a file may give nothing

    Of files that stall one after the other, each is waited for half as long as the one before it.
    """

    def __init__(self, patience: float) -> None:
        self._patience = self.seconds = patience
        self._calls: queue.SimpleQueue[_Call | None] | None = None

    def open(self, path: str) -> BinaryIO:
        """Open a file as a seekable stream.

        Raises ShardError (`unreadable`), as reading does, if nothing comes. Errors of the file are raised as they are.
        """
        file = self.call(lambda: io.FileIO(path))
        return guarded(file, self.call, min(_BUFFER, os.fstat(file.fileno()).st_size + 1))

    def call(self, action: Callable[[], _Result]) -> _Result:
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=_work, args=[self._calls], name="craft-ray-files", daemon=True).start()
        result: Future[_Result] = Future()
        self._calls.put((action, result))
        try:
            returned = result.result(self.seconds)
        except TimeoutError as error:
            if result.done():  # the file's own
                raise
            self.close()
            waited = self.stalled()
            raise ShardError("unreadable", f"it gave nothing for {waited:g} s") from error
        self.seconds = self._patience
        return returned

    def stalled(self) -> float:
        """Wait for less from now on; return the seconds until now."""
        waited, self.seconds = self.seconds, max(min(_SHORTEST, self._patience), self.seconds / 2)
        return waited

    def close(self) -> None:
        """End the thread, once its call returns."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


def _work(calls: "queue.SimpleQueue[_Call | None]") -> None:
    while (call := calls.get()) is not None:
        action, result = call
        try:
            result.set_result(action())
        except BaseException as error:  # raised by the thread that waits
            result.set_exception(error)
