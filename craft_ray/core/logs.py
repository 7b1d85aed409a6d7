"""Log lines: sentences for people, or one JSON object per line for machines, each with its run and its shard.

Events are logged as `log.info("committed", extra={...})`. People get only warnings beside the progress, unless they
ask for all events.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

from craft_ray.core.text import one_line

LogFormat = Literal["text", "json"]

log = logging.getLogger("craft_ray")

_bound: dict[str, Any] = {}
"""Fields of every line now; of the process, not of a thread, since a run has several."""


@contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Add fields to every line logged meanwhile."""
    before = {name: _bound[name] for name in fields if name in _bound}
    _bound.update(fields)
    try:
        yield
    finally:
        for name in fields:
            del _bound[name]
        _bound.update(before)


def configure_logging(format: LogFormat, *, verbose: bool = False) -> None:
    """Have this process log to stderr in a format; a later call replaces an earlier one.

    verbose: sentences for people tell of every event, else only of warnings; JSON always tells of every event
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
    """Lines on stderr, whatever that is at the time."""

    def __init__(self, format: LogFormat, events: bool) -> None:
        super().__init__(sys.stderr)
        self.format_name = format
        if not events:
            self.addFilter(_is_sentence)
        import structlog  # a replica, which logs little, starts without it

        render = structlog.processors.JSONRenderer() if format == "json" else _sentence
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[
                    structlog.stdlib.ExtraAdder(),
                    _with_bound,
                    structlog.stdlib.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                ],
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
            )
        )


_ADDED = {"message", "asctime", "_ray_timestamp_ns"}
"""Attributes of a record that are no event's: other handlers' formatters and Ray add them."""

_PLAIN = logging.makeLogRecord({}).__dict__.keys() | _ADDED


def _is_sentence(record: logging.LogRecord) -> bool:
    """True if a record is a sentence, and no event with fields: those are in the summary too, which people get."""
    return record.__dict__.keys() <= _PLAIN


def _sentence(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    """An event as one line for people, without what a terminal would obey."""
    told = {key: value for key, value in event.items() if key not in ("event", "level", "timestamp", "run_id")}
    fields = ", ".join(f"{key} {value}" for key, value in told.items())
    return one_line(f"{event['event']}: {fields}" if fields else str(event["event"]))


def _with_bound(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {**_bound, **{key: value for key, value in event.items() if key not in _ADDED}}
