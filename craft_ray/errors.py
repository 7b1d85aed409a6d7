"""Errors named by their consequence. A bad document is no error: readers yield it as a `schema.Rejection`.

CraftRayError
├── SettingsError   stops the run before work begins (exit 2)
├── RunError        stops the run (exit 1); what is committed is kept
│   └── StorageDown storage did not answer for as long as the run is patient
├── Busy            another run is at work on the output (exit 4); nothing was begun
├── Stopped         a signal ended the run (exit 3); what is committed is kept
└── ShardError      the rest of a shard is skipped and counted; its documents so far are kept
"""

from typing import Any


class CraftRayError(Exception):
    """Base of all errors raised on purpose; the message is one sentence for the user."""


class SettingsError(CraftRayError):
    """A setting that cannot work: unknown format, no such model, wrong secret, unwritable output."""


class RunError(CraftRayError):
    """The run cannot go on or its account does not add up."""


class StorageDown(RunError):
    """Storage that failed again and again for the whole of `Settings.patience`."""


class Busy(CraftRayError):
    """Another run is at work on the output."""


class Stopped(CraftRayError):
    """A signal ended the run; holds its summary, None if it had not begun to work."""

    def __init__(self, summary: dict[str, Any] | None = None) -> None:
        super().__init__("stopped by a signal; what is committed is kept, and the same command goes on from there")
        self.summary = summary


class ShardError(CraftRayError):
    """A shard that cannot be read further: `reason` is one of `schema.REASONS`, `detail` is for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
