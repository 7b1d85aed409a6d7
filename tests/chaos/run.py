"""A run of the command that can be signalled."""

import json
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONGEST_RUN = 240.0
"""Seconds after which a run hangs."""


@dataclass
class Run:
    """One `craft-ray annotate`. Times are monotonic."""

    process: subprocess.Popen[bytes]
    folder: Path
    began: float = field(default_factory=time.monotonic)
    blows: list[str] = field(default_factory=list)
    terminated_at: float | None = None
    head_lost_at: float | None = None
    ended: float | None = None

    def signalled(self, number: int) -> bool:
        """Send a signal; False if it has ended."""
        if self.process.poll() is not None:
            return False
        if number == signal.SIGTERM:
            self.terminated_at = time.monotonic()
        self.process.send_signal(number)
        return True

    @property
    def code(self) -> int | None:
        return self.process.poll()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(encoding="utf-8", errors="replace")

    @property
    def summary(self) -> dict[str, Any] | None:
        last = (self.folder / "stdout").read_text(encoding="utf-8").strip().rpartition("\n")[2]
        return json.loads(last) if last.startswith("{") else None

    @property
    def sentence(self) -> str:
        """The last line of stderr."""
        return (self.stderr.strip().splitlines() or [""])[-1]

    def wait(self, seconds: float) -> bool:
        """True if it ends in time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.ended = self.ended or time.monotonic()
        return True

    def end(self) -> None:
        if self.code is None:
            self.process.kill()
        self.wait(30)
