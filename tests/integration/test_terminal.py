"""A run as a person sees it in a terminal, and Ctrl-C once and twice."""

import re
import sys
from pathlib import Path

import pytest

from tests.support.commands import COMMAND
from tests.support.notes import write_notes
from tests.support.outputs import document_rows
from tests.support.terminal import CTRL_C, terminal

pytestmark = pytest.mark.integration

DOCUMENTS = 600


def shows_a_pace(lines: list[str]) -> bool:
    """True from the second commit on."""
    return any(" documents, " in line and "tokens/s" in line and " left" in line for line in lines)


def shows_the_way_out(lines: list[str]) -> bool:
    return any("Ctrl-C again to quit now" in line for line in lines)


@pytest.mark.long
def test_ctrl_c_keeps_commits(tmp_path: Path):
    """A run of some 20 seconds, with many commits."""
    write_notes(tmp_path / "in", DOCUMENTS, files=20)
    model = ["--model", "stand-in:1500", "--block-mb", "0.02"]
    with terminal(
        [*COMMAND, "annotate", tmp_path / "in", "--output", tmp_path / "out", "--cpus", "2", *model], 80
    ) as at:
        running = at.until(shows_a_pace)
        (progress,) = [line for line in running if " documents, " in line]
        assert re.fullmatch(r"[\d,]+ documents, [\d,]+ tokens/s \S+ +\d+ % 0:\d\d:\d\d 0:\d\d:\d\d left", progress)
        at.press(CTRL_C)
        at.until(shows_the_way_out)
        assert at.to_its_end() == 3
        shown = "\n".join(at.lines)
        assert "Traceback" not in shown
        kept = len(document_rows(tmp_path / "out"))
        assert 0 < kept < DOCUMENTS
        assert [line.split()[2] for line in at.lines if line.startswith("documents annotated")] == [f"{kept:,}"]
        found, *others = (line.split() for line in at.lines if line.startswith("documents "))
        left = int(found[3].replace(",", "")) if found[3:] else 0
        assert int(found[2].replace(",", "")) == left + sum(int(words[2].replace(",", "")) for words in others)
        assert any("stopped by a signal" in line for line in at.lines)
        assert not any(re.search(r"\d:\d\d:\d\d", line) for line in at.lines)  # nothing of the bar stays


def test_the_start_of_ray_is_shown(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Mouse has Pax6 in its eye.")
    output = ["--output", tmp_path / "out", "--model", "stand-in", "--cpus", "2"]
    with terminal([*COMMAND, "annotate", tmp_path / "a.txt", *output], 80) as at:
        at.until(lambda lines: any(line.startswith("starting Ray") for line in lines))
        assert at.to_its_end() == 0
    assert any(line.split() == ["documents", "annotated", "1"] for line in at.lines)


BAR = """
import threading
from craft_ray.annotation.account import Account
from craft_ray.cli.console import console
from craft_ray.cli.progress import run_progress
from craft_ray.core import signals
signals.FORCED_AFTER = 0
with run_progress(console(stderr=True)) as show, signals.stop_on_signal():
    show(Account())
    threading.Event().wait()
"""


def test_a_second_ctrl_c_restores_the_terminal():
    with terminal([sys.executable, "-c", BAR], 80) as at:
        at.until(lambda lines: any("starting Ray" in line for line in lines))
        assert not at.shows_a_cursor
        at.press(CTRL_C)
        at.until(shows_the_way_out)
        at.press(CTRL_C)
        assert at.to_its_end() == 3
        assert at.shows_a_cursor
        assert [line for line in at.lines if "starting Ray" in line] == []
        assert at.lines[-1] == "quit: the same command continues from the last commit"
