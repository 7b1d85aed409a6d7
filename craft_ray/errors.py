"""Errors named by their consequence.

CraftRayError
├── SettingsError   stops the run before work begins (exit 2)
├── RunError        stops the run (exit 1); what is committed is kept
├── ShardError      the rest of a shard is skipped and counted; its documents so far are kept
└── DocumentError   one document is rejected and counted
"""


class CraftRayError(Exception):
    """Base of all errors raised on purpose; the message is one sentence for the user."""


class SettingsError(CraftRayError):
    """A setting that cannot work: unknown format, no such model, wrong secret, unwritable output."""


class RunError(CraftRayError):
    """The run cannot go on or its account does not add up."""


class _Reasoned(CraftRayError):
    """An error with a `reason` from the documented list (a short word) and a `detail` for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class ShardError(_Reasoned):
    """A shard that cannot be read further."""


class DocumentError(_Reasoned):
    """A document that cannot be read."""
