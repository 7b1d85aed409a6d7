"""Errors by their consequence. A bad document is not an error: readers yield a `schema.Rejection`.

CraftRayError
├── SettingsError           ends the run before work begins (exit 2)
├── RunError                ends the run (exit 1); commits stay
│   └── StorageError        storage kept failing for the whole of `patience`
├── StoppedError            a signal ended the run (exit 3); commits stay
├── OutputBusyError         another run holds the output (exit 4); nothing was begun
├── DocumentsRejectedError  the run is complete but rejected documents (exit 5)
└── ShardError              the rest of a shard is skipped and counted; its documents so far stay
"""

from typing import Any


class CraftRayError(Exception):
    """Base of all expected errors. The message is one sentence for the user.

    exit_code: exit code of the command
    status:    `status` in the summary of the run
    summary:   summary of the run so far; None if it had not begun
    excerpt:   lines to print below the message, such as the part of a query that failed
    """

    exit_code = 1
    status = "failed"
    summary: dict[str, Any] | None = None
    excerpt: str = ""


class SettingsError(CraftRayError):
    """A setting that cannot work: unknown format, missing model, wrong secret, unwritable output."""

    exit_code = 2


class RunError(CraftRayError):
    """The run cannot go on, or its account does not add up."""


class StorageError(RunError):
    """Storage kept failing for the whole of `Settings.patience`."""


class StoppedError(CraftRayError):
    exit_code = 3
    status = "stopped"

    def __init__(
        self, message: str = "stopped by a signal; commits are kept, and the same command continues from there"
    ) -> None:
        super().__init__(message)


class OutputBusyError(CraftRayError):
    exit_code = 4
    status = "busy"


class DocumentsRejectedError(CraftRayError):
    """A complete run that rejected documents or met broken shards, and must not succeed then."""

    exit_code = 5
    status = "partly_rejected"


class ShardError(CraftRayError):
    """A shard that cannot be read further. `reason` is one of `schema.REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Interrupted(BaseException):
    """A signal before a run has begun. Not a KeyboardInterrupt, for which typer has an exit code of its own."""

    exit_code = StoppedError.exit_code
    status = StoppedError.status

    def __str__(self) -> str:
        return "stopped by a signal before anything was begun"


def message(error: BaseException) -> str:
    """Return an error as one sentence for the user."""
    return str(error) if isinstance(error, CraftRayError | Interrupted) else f"{type(error).__name__}: {error}"
