"""Errors named by their consequence. A bad document is no error: readers yield it as a `schema.Rejection`.

CraftRayError
├── SettingsError   stops the run before work begins (exit 2)
├── RunError        stops the run (exit 1); what is committed is kept
│   └── StorageError  storage did not answer for as long as the run is patient
├── StoppedError    a signal ended the run (exit 3); what is committed is kept
├── OutputBusyError another run is at work on the output (exit 4); nothing was begun
├── DocumentsRejectedError  the run is complete, and was not to reject anything (exit 5)
└── ShardError      the rest of a shard is skipped and counted; its documents so far are kept
"""

from typing import Any


class CraftRayError(Exception):
    """Base of all errors raised on purpose; the message is one sentence for the user.

    exit_code: of the command
    status:    what the summary says of the run
    summary:   of the run that the error ended, as far as it came; None if it had not begun to work
    excerpt:   lines for a person below the sentence, such as those of a query with a mark where it fails
    """

    exit_code = 1
    status = "failed"
    summary: dict[str, Any] | None = None
    excerpt: str = ""


class SettingsError(CraftRayError):
    """A setting that cannot work: unknown format, no such model, wrong secret, unwritable output."""

    exit_code = 2


class RunError(CraftRayError):
    """The run cannot go on or its account does not add up."""


class StorageError(RunError):
    """Storage that failed again and again for the whole of `Settings.patience`."""


class StoppedError(CraftRayError):
    """A signal ended the run."""

    exit_code = 3
    status = "stopped"

    def __init__(
        self, message: str = "stopped by a signal; what is committed is kept, and the same command goes on from there"
    ) -> None:
        super().__init__(message)


class OutputBusyError(CraftRayError):
    """Another run is at work on the output."""

    exit_code = 4
    status = "busy"


class DocumentsRejectedError(CraftRayError):
    """Documents were rejected, or shards broken, in a run that was to fail for any; all else is in the tables."""

    exit_code = 5
    status = "partly_rejected"


class ShardError(CraftRayError):
    """A shard that cannot be read further: `reason` is one of `schema.REASONS`, `detail` is for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Interrupted(BaseException):
    """A signal before a run has begun; no KeyboardInterrupt, for typer answers that with an exit code of its own."""

    exit_code = StoppedError.exit_code
    status = StoppedError.status

    def __str__(self) -> str:
        return "stopped by a signal before anything was begun"


def message(error: BaseException) -> str:
    """An error as one sentence for the user."""
    return str(error) if isinstance(error, CraftRayError | Interrupted) else f"{type(error).__name__}: {error}"
