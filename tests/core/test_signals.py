"""Signals: the first stops a run. That a second Ctrl-C ends it is in tests/integration/test_terminal.py."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from craft_ray.core import signals
signals.FORCED_AFTER = {apart}
with signals.stop_on_signal() as stop:
    print("ready", flush=True)
    stop.wait()
    print("stopping", flush=True)
    sys.stdin.readline()
    print("alive", flush=True)
"""


@pytest.mark.parametrize(("apart", "number"), [(1000, signal.SIGINT), (0, signal.SIGTERM)])
def test_repeated_signals_count_once(apart: float, number: signal.Signals):
    """A program is stopping to end by its first signal, and then waits for a line."""
    command = [sys.executable, "-c", PROGRAM.format(apart=apart)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stopping\n"
        for _ in range(3):
            process.send_signal(number)
        assert process.communicate("\n", timeout=30)[0] == "alive\n"
        assert process.returncode == 0


def output_of(program: str) -> str:
    """Run a program in a new process, because in the test process a thread of Ray could take the signal."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_handlers_are_restored():
    program = """
import os, signal
from craft_ray.core.signals import stop_on_signal
before = signal.getsignal(signal.SIGINT)
with stop_on_signal() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait(10))
print(signal.getsignal(signal.SIGINT) is before)
"""
    assert output_of(program) == "True\nTrue\n"


def test_signal_during_wait():
    program = """
import os, signal
from craft_ray.core.signals import stop_on_signal
with stop_on_signal() as stop:
    with stop._cond:  # as `wait` holds it
        os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait(10))
"""
    assert output_of(program) == "True\n"
