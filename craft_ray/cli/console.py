"""Tables and progress for people. Untrusted text must pass through `add_row` or `one_line`."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.core.logs import LogFormat, log, logs_json
from craft_ray.core.text import one_line

if TYPE_CHECKING:
    from rich.progress import Progress

    from craft_ray.annotation.account import Account

LINE_EVERY = 10.0
"""Seconds between progress lines in a log."""

RATE_WITHIN = 60.0
"""Seconds over which the speed is averaged."""

STAGES = {
    "ray_ready": "starting Ray",
    "model_ready": "making the model ready",
    "first_commit": "annotating the first documents",
}
"""Text of the progress bar until a run reaches each step of its timeline."""

Show = Callable[["Account"], None]


def console(*, stderr: bool = False) -> Console:
    """Make a console without markup. Lines are not wrapped unless it is a terminal."""
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    return (
        made if made.is_terminal else Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=10_000)
    )


def plain_table(*columns: str) -> Table:
    """Make a table without rules. Columns are right-aligned, except the first and the last."""
    table = Table(box=None, pad_edge=False)
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


@contextmanager
def run_progress(console: Console, log_format: LogFormat = "text", *, quiet: bool = False) -> Iterator[Show]:
    """Yield a function that displays an account as it grows: a progress bar, or lines in a log."""
    if quiet:
        yield lambda account: None
    elif log_format == "json":
        yield _throttled(LINE_EVERY, _log_progress)
    elif console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _throttled(LINE_EVERY, lambda account: _line(console, account))


@contextmanager
def _bar(console: Console) -> Iterator[Show]:
    with _progress(console) as progress:
        task = progress.add_task("starting", total=None, left="")

        def show(account: "Account") -> None:
            left = time_left(account)
            progress.update(
                task,
                description=describe(account),
                total=max(1, account.arrivals.bytes_total),
                completed=account.arrivals.bytes_done,
                left="" if left is None else f"{timedelta(seconds=round(left))} left",
                refresh=not account.timeline.commits,  # at once, since nothing is shown while Ray starts
            )

        yield show


def _progress(console: Console) -> "Progress":
    """A progress bar that fits 80 columns."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    return Progress(*columns, console=console, transient=True)


def print_status(on: Console, line: str, **fields: object) -> None:
    """Print a line about the progress of a command, or log it with `fields` if logs are JSON."""
    if logs_json():
        log.info(line, extra=fields)
    else:
        on.print(one_line(line), style="dim", soft_wrap=True)


@contextmanager
def step_progress(console: Console, unit: str = "step") -> Iterator[Callable[[int, int], None]]:
    """Yield a function that displays a step and their number: a progress bar, or lines in a log."""
    last = time.monotonic()

    def line(step: int, steps: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY or step == steps:
            last = time.monotonic()
            print_status(console, f"{unit} {step:,} of {steps:,}")

    if logs_json() or not console.is_terminal:
        yield line
        return
    with _progress(console) as progress:
        task = progress.add_task("starting", total=None, left="")
        yield lambda step, steps: progress.update(task, description=f"{unit}s", completed=step, total=steps)


def _throttled(seconds: float, show: Show) -> Show:
    last = time.monotonic()

    def show_if_due(account: "Account") -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            show(account)

    return show_if_due


def _line(console: Console, account: "Account") -> None:
    left = time_left(account)
    remaining = "time left unknown" if left is None else f"{left:,.0f} s left"
    elapsed = account.timeline.seconds
    console.print(f"{describe(account)}, {read_share(account):.0%} read, {elapsed:,.0f} s, {remaining}", soft_wrap=True)


def _log_progress(account: "Account") -> None:
    log.info(
        "progress",
        extra={
            "documents": account.committed.documents,
            "tokens": account.tokens,
            "tokens_per_second": round(rate(account) or 0),
            "bytes": account.arrivals.bytes_done,
            "bytes_total": account.arrivals.bytes_total,
            "shards": account.arrivals.shards_closed,
            "seconds": round(account.timeline.seconds, 1),
        },
    )


def describe(account: "Account") -> str:
    """Describe an account in one line: documents committed, documents rejected if any, and recent speed.

    Before the first commit it is what the run is waiting for.
    """
    if not account.timeline.commits:
        return next(stage for step, stage in STAGES.items() if step not in account.timeline.steps)
    rejected = account.committed.statuses["rejected"]
    speed = rate(account)
    parts = [
        f"{account.committed.documents:,} documents",
        f"{rejected:,} rejected" if rejected else "",
        "" if speed is None else f"{speed:,.0f} tokens/s",
    ]
    return ", ".join(part for part in parts if part)


def rate(account: "Account") -> float | None:
    """Tokens per second over the last RATE_WITHIN seconds, the start excluded; None before two commits."""
    commits = account.timeline.commits
    if len(commits) < 2:
        return None
    ended, _, last = commits[-1]
    began, _, first = next(commit for commit in commits if commit[0] >= ended - RATE_WITHIN)
    if began == ended:
        began, _, first = commits[-2]
    return (last - first) / (ended - began)


def time_left(account: "Account") -> float | None:
    """Seconds left at the pace since the first commit; None while it is unknown."""
    share, pace = read_share(account), account.timeline.steady_rate
    if not pace or not share > 0:
        return None
    return account.timeline.commits[-1][2] * (1 - share) / share / pace


def read_share(account: "Account") -> float:
    return account.arrivals.bytes_done / account.arrivals.bytes_total if account.arrivals.bytes_total else 1.0
