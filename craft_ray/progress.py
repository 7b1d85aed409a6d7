"""What a person sees of a run: a live bar on a terminal, a line now and then in a log, a table at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from craft_ray.labels import LABELS
from craft_ray.runs import Account

LINE_EVERY = 10.0
"""Seconds between the lines of a log."""

Show = Callable[[Account], None]


@contextmanager
def shown(console: Console) -> Iterator[Show]:
    """A function that shows an account as it grows."""
    if console.is_terminal:
        with _bar(console) as show:
            yield show
    else:
        yield _lines(console)


@contextmanager
def _bar(console: Console) -> Iterator[Show]:
    with _progress(console) as progress:
        task = progress.add_task("starting", total=None)

        def show(account: Account) -> None:
            progress.update(
                task,
                description=describe(account),
                total=max(1, account.bytes_total),
                completed=account.bytes_done,
            )

        yield show


def _progress(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    return Progress(*columns, console=console, transient=True)


@contextmanager
def steps_shown(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A function that shows the steps of training: a bar on a terminal, a line now and then in a log."""
    last = time.monotonic()

    def line(step: int, steps: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY or step == steps:
            last = time.monotonic()
            console.print(f"step {step:,} of {steps:,}", highlight=False)

    if not console.is_terminal:
        yield line
        return
    with _progress(console) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda step, steps: progress.update(task, description="steps", completed=step, total=steps)


def _lines(console: Console) -> Show:
    last = time.monotonic()

    def show(account: Account) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            elapsed = last - account.started
            share = account.bytes_done / account.bytes_total if account.bytes_total else 1.0
            left = f"{elapsed * (1 - share) / share:,.0f} s left" if share > 0 else "time left unknown"
            console.print(f"{describe(account)}, {elapsed:,.0f} s, {left}", highlight=False, soft_wrap=True)

    return show


def describe(account: Account) -> str:
    """One line: documents, speed, rejected, shards done and in all."""
    speed = account.tokens / max(1e-9, time.monotonic() - account.started)
    return (
        f"{account.committed:,} documents, {account.statuses['rejected']:,} rejected, {speed:,.0f} tokens/s, "
        f"shards {account.shards_done:,}/{len(account.shards):,}"
    )


def print_entities(console: Console, rows: list[dict[str, Any]]) -> None:
    """Entities as a table, the most telling columns."""
    table = Table(box=None, pad_edge=False)
    for name in ("doc_id", "section", "label", "mention", "start", "end", "score"):
        table.add_column(name, justify="right" if name in ("start", "end", "score") else "left")
    for row in rows:
        table.add_row(
            row["doc_id"],
            row["section"],
            row["label"],
            row["mention"],
            str(row["start"]),
            str(row["end"]),
            f"{row['score']:.3f}",
        )
    console.print(table, highlight=False)


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """The table at the end of a run."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, number in summary["documents"].items():
        note = ", ".join(f"{reason} {count:,}" for reason, count in summary["rejected"].items())
        table.add_row(f"documents {name}", f"{number:,}", note if name == "rejected" else "")
    meaning = {label.name: label.meaning for label in LABELS}
    for label, number in summary["entities"].items():
        table.add_row(f"entities {label}", f"{number:,}", meaning.get(label, ""))
    shards = summary["shards"]
    table.add_row("shards read", f"{shards['read']:,} of {shards['found']:,}", "")
    if shards["known"]:
        table.add_row("shards known", f"{shards['known']:,}", "unchanged since they were read")
    for shard, reason in shards["broken"].items():
        table.add_row("shard broken", "", f"{shard}: {reason}")
    if shards["unreadable"] > len(shards["broken"]):
        table.add_row("shards broken", f"{shards['unreadable']:,}", "all are in the table `shards`")
    if shards["passed_over"]:
        names = ", ".join(shards["passed_over"][:3])
        table.add_row(
            "files passed over", f"{shards['files_passed_over']:,}", f"not input by their names: {names}, ..."
        )
    table.add_row("time", f"{summary['seconds']:,.1f} s", f"{summary['tokens_per_second']:,.0f} tokens/s")
    console.print(table)
    for name, path in summary["tables"].items():
        console.print(f"{name}: {path}", highlight=False, soft_wrap=True)
