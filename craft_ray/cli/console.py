"""Output for people. Untrusted text must pass through `add_row` or `one_line`."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.core.logs import log, logs_json
from craft_ray.core.text import one_line


def console(*, stderr: bool = False) -> Console:
    """Make a console without markup. Lines are not wrapped unless it is a terminal."""
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    return (
        made if made.is_terminal else Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=10_000)
    )


def plain_table(*columns: str) -> Table:
    """Make a table without rules. Columns are right-aligned, except the first and the last, which is for notes."""
    table = Table(box=None, pad_edge=False, show_header=any(columns))
    for number, name in enumerate(columns):
        last = number == len(columns) - 1
        table.add_column(
            name, justify="left" if number == 0 or last else "right", style="dim" if last else None, overflow="fold"
        )
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add cells without markup and control characters."""
    table.add_row(*(Text(one_line(str(cell))) for cell in cells))


def print_result(result: Any, as_json: bool, show: Callable[[Console, Any], None]) -> None:
    """Print a result as one line of JSON, or as `show` does."""
    if as_json:
        print(json.dumps(result))
    else:
        show(console(), result)


class _Discarding:
    """Standard output that drops what follows when its reader has ended."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._discarding():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._discarding():
            self._stream.flush()

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            discard_output()


def keep_exit_code() -> None:
    """Let a command go on when the reader of its output has ended, so that it ends with its own exit code."""
    sys.stdout = cast(TextIO, _Discarding(sys.stdout))


def discard_output() -> None:
    """Send what is still written to standard output nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_status(on: Console, line: str, **fields: object) -> None:
    """Print a line about the progress of a command, or log it with `fields` if logs are JSON."""
    if logs_json():
        log.info(line, extra=fields)
    else:
        on.print(one_line(line), style="dim", soft_wrap=True)
