"""Trying again while storage fails in a way that may pass."""

import io
from collections.abc import Callable
from typing import Any, TypeVar

import tenacity

from craft_ray.core.errors import StorageError
from craft_ray.core.logs import log
from craft_ray.storage.failures import describe, is_transient

_Result = TypeVar("_Result")


def with_retries(
    url: str, action: Callable[[], _Result], patience: float, also: tuple[type[Exception], ...] = ()
) -> _Result:
    """The result of an action, repeated while storage fails in a way that may pass.

    patience: seconds after which the last failure counts
    also:     exceptions of other clients that may pass, unless a disk is full

    Raises StorageError when patience ends, and at once what will not pass.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: is_transient(error, also)),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=10),
        stop=tenacity.stop_after_delay(patience),
        before_sleep=lambda attempt: _log_failure(url, attempt),
    )
    try:
        return retrying(action)
    except tenacity.RetryError as failed:
        error = failed.last_attempt.exception()
        why = describe(error) if error else "unknown"
        lasted = f" for {patience:g} s" if patience else ""
        raise StorageError(f"storage failed{lasted} at {url}: {why}") from error


class RetryingFile(io.RawIOBase):
    """A remote file whose failed reads are tried again; its position moves only when a read has worked."""

    def __init__(self, with_retries: Callable[[str, Callable[[], bytes]], bytes], url: str, file: Any) -> None:
        self._with_retries = with_retries
        self._url = url
        self._file = file

    def readable(self) -> bool:
        """True: the file is open for reading."""
        return True

    def seekable(self) -> bool:
        """True: storage reads from any offset."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset in bytes, and return it."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """The offset in bytes."""
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, trying again while storage fails, and return the number of bytes."""
        content = self._with_retries(self._url, lambda: self._file.read(len(buffer)))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _log_failure(url: str, attempt: tenacity.RetryCallState) -> None:
    """Log a failed attempt that will be repeated."""
    error = attempt.outcome.exception() if attempt.outcome else None
    why = describe(error) if error else "unknown"
    log.info("storage failed, trying again", extra={"url": url, "why": why, "attempt": attempt.attempt_number})
