"""When a run reached each of its steps, and how far it had come at each commit."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_POINTS = 200
"""Rows of the progress that a run record keeps."""


@dataclass(slots=True)
class Timeline:
    """Steps and commits of a run; times are those of a monotonic clock.

    steps:   seconds from the start to the first time each step was reached
    commits: time of each commit, and the documents and tokens committed so far
    """

    started: float = field(default_factory=time.monotonic)
    clock: Callable[[], float] = time.monotonic
    steps: dict[str, float] = field(default_factory=dict)
    commits: list[tuple[float, int, int]] = field(default_factory=list)

    def reached(self, step: str, at: float | None = None) -> None:
        """Record the first time that a step is reached, by default now."""
        self.steps.setdefault(step, round((at or self.clock()) - self.started, 3))

    def committed(self, documents: int, tokens: int) -> None:
        """Record a commit of some documents and tokens."""
        self.reached("first_commit")
        _, documents_before, tokens_before = self.commits[-1] if self.commits else (0.0, 0, 0)
        self.commits.append((self.clock(), documents_before + documents, tokens_before + tokens))

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def steady_rate(self) -> float | None:
        """Tokens per second between the first and the last commit, without start-up and closing; None before that."""
        if len(self.commits) < 2:
            return None
        (began, _, first), (ended, _, last) = self.commits[0], self.commits[-1]
        return (last - first) / (ended - began)

    def progress(self) -> list[list[float]]:
        """Rows of seconds since the start, documents and tokens: one per commit, or MAX_POINTS evenly spread ones."""
        step = math.ceil(len(self.commits) / MAX_POINTS)
        kept = self.commits[::-1][:: step or 1][::-1]
        return [[round(at - self.started, 3), documents, tokens] for at, documents, tokens in kept]
