"""Progress of a run in a notebook: one line below the cell, updated in place."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from craft_ray.cli.console import Show, describe, read_share, time_left

if TYPE_CHECKING:
    from craft_ray.annotation.account import Account

EVERY = 0.5
"""Least seconds between updates, each of which is a message to the browser."""


def in_notebook() -> bool:
    """True in a notebook, False in IPython at a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@contextmanager
def notebook_progress() -> Iterator[Show]:
    """Yield a function that displays an account. The last state stays."""
    from IPython.display import display

    line = display(_as_text("starting"), raw=True, display_id=True)
    last = float("-inf")
    state = "starting"

    def show(account: "Account") -> None:
        nonlocal last, state
        state = _line(account)
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            line.update(_as_text(state), raw=True)

    try:
        yield show
    finally:
        line.update(_as_text(state), raw=True)


def _as_text(line: str) -> dict[str, Any]:
    return {"text/plain": line}


def _line(account: "Account") -> str:
    elapsed = timedelta(seconds=round(account.timeline.seconds))
    left = time_left(account)
    parts = [describe(account), f"{read_share(account):.0%} read", str(elapsed)]
    return ", ".join([*parts, *([] if left is None else [f"{timedelta(seconds=round(left))} left"])])
