"""A command in a pseudo-terminal, whose screen an emulator (pyte) keeps."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyte

CTRL_C = b"\x03"


class Terminal:
    """A running command and its screen. `lines` are those that are not blank."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int, columns: int, rows: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display if line.strip()]

    @property
    def shows_a_cursor(self) -> bool:
        return not self._screen.cursor.hidden

    def press(self, keys: bytes) -> None:
        os.write(self._descriptor, keys)

    def until(self, condition: Callable[[list[str]], bool], timeout: float = 120) -> list[str]:
        """Read until the screen meets a condition; returns its lines."""
        deadline = time.monotonic() + timeout
        while not condition(self.lines):
            assert time.monotonic() < deadline, f"not seen: {self.lines}"
            assert self._read(0.5), f"the command has ended: {self.lines}"
        return self.lines

    def to_its_end(self, timeout: float = 120) -> int:
        """Read until the command ends; returns its exit code."""
        deadline = time.monotonic() + timeout
        while self._read(0.5):
            assert time.monotonic() < deadline, f"it does not end: {self.lines}"
        return self.process.wait(timeout=30)

    def _read(self, seconds: float) -> bool:
        """Read output that comes within a time; False once the command has closed the terminal."""
        if not select.select([self._descriptor], [], [], max(0.0, seconds))[0]:
            return True
        try:
            content = os.read(self._descriptor, 1 << 16)
        except OSError:  # Linux: the other end is closed
            return False
        self._stream.feed(content)
        return bool(content)


@contextmanager
def terminal(command: Sequence[str | Path], columns: int, rows: int = 40) -> Iterator[Terminal]:
    """Start a command in the foreground of a new terminal, and kill it at the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def attach() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    size = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows)}
    process = subprocess.Popen(
        [str(part) for part in command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | size,
        preexec_fn=attach,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours, columns, rows)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
        os.close(ours)
