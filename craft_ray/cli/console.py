"""Output for people. Untrusted text must pass through `add_row` or `one_line`."""

import json
from collections.abc import Callable
from typing import Any

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


def print_status(on: Console, line: str, **fields: object) -> None:
    """Print a line about the progress of a command, or log it with `fields` if logs are JSON."""
    if logs_json():
        log.info(line, extra=fields)
    else:
        on.print(one_line(line), style="dim", soft_wrap=True)
