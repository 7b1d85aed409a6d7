"""Drivers that are really stopped (SIGSTOP) and wake up after another run has begun: nothing is lost or mixed in."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from craft_ray.tables.writer import Tables
from tests.conftest import ROOT
from tests.support.outputs import STORAGE, block, rows
from tests.support.suspended import STEPS

LATER = "20260102T000000-00000000"


@pytest.mark.parametrize("step", STEPS)
def test_suspended_driver_changes_nothing(tmp_path: Path, step: str):
    command = [sys.executable, "-m", "tests.support.suspended", str(tmp_path), step]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), process.communicate()[1]
    later = Tables(STORAGE, str(tmp_path), LATER)
    later.append([block(tmp_path, ("c", "rat"), run_id=LATER)])
    staged = block(tmp_path, ("d", "fly"), run_id=LATER)
    process.send_signal(signal.SIGCONT)
    told = process.communicate(timeout=60)[1]
    assert (process.returncode == 0) == (step == "before its last removals"), told
    if process.returncode:
        assert "another run has taken over" in told
    later.append([staged])
    later.finish(compact=True)
    kept = [("a", "mouse"), ("c", "rat"), ("d", "fly")]
    assert [(name, mention) for name, mention, _ in rows(tmp_path, "entities")] == kept
    assert [name for name, *_ in rows(tmp_path, "documents")] == [name for name, _ in kept]
    assert later.entities.pair == later.documents.pair
