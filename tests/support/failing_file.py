"""A file that fails while it is read."""

import io
from typing import Any


class FailingFile(io.BytesIO):
    """A file whose storage raises an error after about so many bytes."""

    def __init__(self, content: bytes, after: int, error: Exception) -> None:
        super().__init__(content)
        self._after, self._error = after, error

    def readinto(self, buffer: Any) -> int:
        if self.tell() > self._after:
            raise self._error
        content = self.read(min(len(buffer), 2000))
        buffer[: len(content)] = content
        return len(content)
