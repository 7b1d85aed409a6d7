"""Log lines: sentences for people, or a JSON object a line for machines, each with the run and the shard it is of.

Events are logged as `log.info("committed", extra={...})`; people get warnings alone, beside the progress.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog

LogFormat = Literal["text", "json"]

log = logging.getLogger("craft_ray")

_bound: dict[str, Any] = {}
"""Fields of every line now; of the process, not of a thread, since a run has several."""


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add fields to every line logged meanwhile."""
    before = {name: _bound[name] for name in fields if name in _bound}
    _bound.update(fields)
    try:
        yield
    finally:
        for name in fields:
            del _bound[name]
        _bound.update(before)


def log_as(format: LogFormat) -> None:
    """Have this process log in a format; any number of calls is one."""
    if format == "text" or any(isinstance(handler, _JsonHandler) for handler in log.handlers):
        return
    log.addHandler(_JsonHandler())
    log.setLevel(logging.INFO)
    log.propagate = False


class _JsonHandler(logging.StreamHandler[Any]):
    """JSON lines on stderr, whatever that is at the time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[
                    structlog.stdlib.ExtraAdder(),
                    _with_bound,
                    structlog.stdlib.add_log_level,
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                ],
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            )
        )


def _with_bound(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("_ray_timestamp_ns", None)  # which Ray gives every record of a process that it runs in
    return {**_bound, **event}
