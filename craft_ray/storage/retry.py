"""Retries with backoff."""

from collections.abc import Callable
from typing import TypeVar

from craft_ray.core.errors import StorageError
from craft_ray.core.logs import log
from craft_ray.storage.failures import describe_at, is_transient

_Result = TypeVar("_Result")

WARN_AFTER = 5.0
"""Seconds of retries after which people are told why it takes so long."""


def with_retries(
    url: str, action: Callable[[], _Result], patience: float, endpoint: Callable[[], str | None] = lambda: None
) -> _Result:
    """Run an action, and run it again after a transient error.

    patience: seconds for which it is retried
    endpoint: returns the server that messages name, None for AWS

    Raises StorageError if it still fails then. Permanent errors are raised as they are.
    """
    import tenacity

    warned = False

    def report(attempt: tenacity.RetryCallState) -> None:
        nonlocal warned
        error = attempt.outcome.exception() if attempt.outcome else None
        why = describe_at(error, endpoint()) if error else ""
        log.info("storage failed, retrying", extra={"url": url, "why": why, "attempt": attempt.attempt_number})
        if not warned and (attempt.seconds_since_start or 0) >= WARN_AFTER:
            warned = True
            log.warning("storage fails at %s and is retried for %g s: %s", url, patience, why)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=10),
        stop=tenacity.stop_after_delay(patience),
        before_sleep=report,
        reraise=True,
    )
    try:
        return retrying(action)
    except Exception as error:
        if not is_transient(error):
            raise
        duration = f" for {patience:g} s" if patience else ""
        raise StorageError(f"storage failed{duration} at {url}: {describe_at(error, endpoint())}") from error
