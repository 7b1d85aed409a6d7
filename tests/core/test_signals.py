"""Signals: the first asks a run to end, a second Ctrl-C ends it."""

import os
import signal
import subprocess
import sys

import pytest

from craft_ray.core.errors import StoppedError
from craft_ray.core.signals import stop_on_signal

PROGRAM = """
import sys
from craft_ray.core import signals
signals.FORCED_AFTER = {apart}
with signals.stop_on_signal() as stop:
    print("ready", flush=True)
    stop.wait()
    print("asked", flush=True)
    sys.stdin.readline()
    print("alive", flush=True)
"""


def started(apart: float) -> subprocess.Popen[str]:
    """A program that is asked to end by its first signal, and then waits for a line."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(apart=apart)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )


def test_a_second_interrupt_ends_the_process_with_the_code_of_a_stopped_run():
    with started(apart=0) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == StoppedError.exit_code


@pytest.mark.parametrize(("apart", "number"), [(1000, signal.SIGINT), (0, signal.SIGTERM)])
def test_the_same_interrupt_passed_on_twice_and_repeated_terminations_are_one(apart: float, number: signal.Signals):
    with started(apart) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == "asked\n"
        for _ in range(3):
            process.send_signal(number)
        assert process.communicate("\n", timeout=30)[0] == "alive\n"
        assert process.returncode == 0


def test_handlers_are_as_before_at_the_end():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_that_finds_the_process_within_its_wait_is_heard():
    program = """
import os, signal
from craft_ray.core.signals import stop_on_signal
with stop_on_signal() as stop:
    with stop._cond:  # as `wait` holds it
        os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait(10))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"
