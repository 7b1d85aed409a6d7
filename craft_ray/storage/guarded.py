"""Files whose reads are guarded, by retries or by a limit of time."""

import io
from collections.abc import Callable
from typing import Any, BinaryIO, cast

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
