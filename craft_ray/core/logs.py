"""Log lines on stderr: sentences for people, or a JSON object per line for programs.

`log.info("committed", extra={...})` logs an event with fields, which people see only with `--verbose`.
"""

import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Literal, TypeVar

from craft_ray.core.text import one_line

LogFormat = Literal["text", "json"]

log = logging.getLogger("craft_ray")

_Result = TypeVar("_Result")

# structlog.contextvars does the same, but its import costs a worker 0.15 s.
_scopes: ContextVar[tuple[dict[str, Any], ...]] = ContextVar("scopes", default=())


@contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Add fields to the lines logged in this thread within the block; see `with_log_fields` for other threads."""
    _scopes.set((*_scopes.get(), fields))
    try:
        yield
    finally:
        _scopes.set(tuple(scope for scope in _scopes.get() if scope is not fields))


def with_log_fields(function: Callable[[], _Result]) -> Callable[[], _Result]:
    """Bind a function to the fields of now, so that a new thread can log with them."""
    return partial(copy_context().run, function)


def configure_logging(format: LogFormat, *, verbose: bool = False) -> None:
    """Make this process log to stderr; a later call replaces an earlier one.

    verbose: show events to people too, not only warnings; JSON always has them
    """
    for handler in [handler for handler in log.handlers if isinstance(handler, _Handler)]:
        log.removeHandler(handler)
    log.addHandler(_Handler(format, verbose or format == "json"))
    log.setLevel(logging.INFO if verbose or format == "json" else logging.WARNING)
    log.propagate = False


def logs_json() -> bool:
    """True if this process logs JSON, so that nothing else belongs on its stderr."""
    return any(isinstance(handler, _Handler) and handler.format_name == "json" for handler in log.handlers)


class _Handler(logging.StreamHandler[Any]):
    def __init__(self, format: LogFormat, events: bool) -> None:
        logging.Handler.__init__(self)
        self.format_name = format
        if not events:
            self.addFilter(_is_sentence)
        import structlog  # slow, and a replica needs none

        render = structlog.processors.JSONRenderer() if format == "json" else _sentence
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[
                    structlog.stdlib.ExtraAdder(),
                    _with_fields,
                    structlog.stdlib.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                ],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            )
        )

    @property
    def stream(self) -> Any:
        """The stderr of now: it is replaced while Ray starts."""
        return sys.stderr


_ADDED = {"message", "asctime", "_ray_timestamp_ns"}
"""Attributes of a record that other handlers' formatters and Ray add."""

_PLAIN = logging.makeLogRecord({}).__dict__.keys() | _ADDED


def _is_sentence(record: logging.LogRecord) -> bool:
    """True for records without fields; the fields of events are in the summary too."""
    return record.__dict__.keys() <= _PLAIN


def _sentence(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    """Render an event as one line without control characters."""
    shown = {key: value for key, value in event.items() if key not in ("event", "level", "timestamp", "run_id")}
    fields = ", ".join(f"{key} {value}" for key, value in shown.items())
    return one_line(f"{event['event']}: {fields}" if fields else str(event["event"]))


def _with_fields(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    bound = {key: value for scope in _scopes.get() for key, value in scope.items()}
    return bound | {key: value for key, value in event.items() if key not in _ADDED}
