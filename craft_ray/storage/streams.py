"""Streams whose reads are guarded: by retries, or by a limit of time for local files, as a mount may hang."""

import io
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, BinaryIO, TypeVar, cast

from craft_ray.core.errors import ShardError

_Result = TypeVar("_Result")

_BUFFER = 1 << 20
"""Bytes of a read, since each is handed to another thread."""

_SHORTEST = 1.0
"""Seconds that a file may stall, however many have before it."""

_Call = tuple[Callable[[], Any], "Future[Any]"]


Guard = Callable[[Callable[[], bytes]], bytes]
"""Calls a function that reads, and returns its result."""


def guarded(file: Any, guard: Guard, buffer_bytes: int) -> BinaryIO:
    """Return a buffered stream over an open file. The position moves only when a read succeeds."""
    return cast(BinaryIO, io.BufferedReader(_Guarded(file, guard), buffer_bytes))


class _Guarded(io.RawIOBase):
    def __init__(self, file: Any, guard: Guard) -> None:
        self._file, self._guard = file, guard

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        content = self._guard(lambda: self._file.read(len(buffer)))  # the buffer may be gone if the call returns late
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


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
