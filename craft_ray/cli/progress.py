"""Progress of a run: a bar, lines in a log, or a line in a notebook."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console

from craft_ray.cli.console import print_status
from craft_ray.core.logs import LogFormat, log, logs_json

if TYPE_CHECKING:
    from rich.progress import Progress

    from craft_ray.annotation.account import Account

LINE_EVERY = 10.0
"""Seconds between progress lines in a log."""

NOTEBOOK_EVERY = 0.5
"""Least seconds between updates in a notebook, each of which is a message to the browser."""

RATE_WITHIN = 60.0
"""Seconds over which the speed is averaged."""

STAGES = {
    "ray_ready": "starting Ray",
    "model_ready": "making the model ready",
    "first_commit": "annotating the first documents",
}
"""Text of the progress bar until a run reaches each step of its timeline."""

Show = Callable[["Account"], None]


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


def in_notebook() -> bool:
    """True in a notebook, False in IPython at a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def notebook_progress() -> Iterator[Show]:
    """Yield a function that displays an account. The last state stays."""
    from IPython.display import display

    line = display({"text/plain": "starting"}, raw=True, display_id=True)
    last = float("-inf")
    state = "starting"

    def show(account: "Account") -> None:
        nonlocal last, state
        state = _notebook_line(account)
        if time.monotonic() - last >= NOTEBOOK_EVERY:
            last = time.monotonic()
            line.update({"text/plain": state}, raw=True)

    try:
        yield show
    finally:
        line.update({"text/plain": state}, raw=True)


def _notebook_line(account: "Account") -> str:
    elapsed = timedelta(seconds=round(account.timeline.seconds))
    left = time_left(account)
    parts = [describe(account), f"{read_share(account):.0%} read", str(elapsed)]
    return ", ".join([*parts, *([] if left is None else [f"{timedelta(seconds=round(left))} left"])])
