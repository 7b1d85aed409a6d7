"""Progress of a run: documents, speed and time left."""

import io
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from rich.console import Console

from craft_ray.annotation.account import Account
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.cli import progress
from craft_ray.cli.progress import describe, in_notebook, notebook_progress, rate, run_progress, time_left
from craft_ray.storage.shards import Shard


def account(*commits: tuple[float, int, int], done: int = 0, rejected: int = 0) -> Account:
    """A run over 1,000 bytes; a commit is seconds ago, and the documents and tokens committed by then."""
    made = Account(Arrivals([Shard("a", 1000, number=0)]))
    now = time.monotonic()
    made.timeline.started = now - 500
    made.timeline.commits = [(now - ago, documents, tokens) for ago, documents, tokens in commits]
    made.committed.statuses.update(annotated=commits[-1][1] - rejected if commits else 0, rejected=rejected)
    made.arrivals.bytes_done = done
    return made


def test_rate():
    assert rate(account((300, 10, 1000), (50, 20, 2000), (0, 30, 52_000))) == pytest.approx(1000)
    assert rate(account((300, 10, 1000), (0, 20, 4000))) == pytest.approx(10)
    assert rate(account((1, 10, 1000))) is None
    assert describe(account((1, 10, 1000))) == "10 documents"


def test_time_left():
    assert time_left(account((100, 10, 1000), (0, 20, 2000), done=250)) == pytest.approx(600, abs=1)
    assert time_left(account((0, 800, 9000), done=400)) is None
    assert time_left(account(done=0)) is None
    assert time_left(account((100, 10, 1000), done=0)) is None


def test_stages_before_the_first_commit():
    waiting = account()
    shown = [describe(waiting)]
    for step in ("ray_ready", "model_ready", "first_block"):
        waiting.timeline.reached(step)
        shown.append(describe(waiting))
    assert shown == ["starting Ray", "making the model ready", *["annotating the first documents"] * 2]
    waiting.timeline.committed(3, 100)
    waiting.committed.statuses.update(annotated=3)
    assert describe(waiting) == "3 documents"


def test_rejected_documents():
    assert describe(account((60, 5, 100), (0, 1234, 700))) == "1,234 documents, 10 tokens/s"
    assert describe(account((60, 5, 100), (0, 1234, 700), rejected=7)) == "1,234 documents, 7 rejected, 10 tokens/s"


@pytest.mark.parametrize("width", [80, 120])
def test_bar_fits(width: int):
    stream = io.StringIO()
    with run_progress(Console(file=stream, width=width, force_terminal=True, color_system=None)) as show:
        show(account((60, 5, 0), (0, 1_234_567, 7_407_360), done=250))
    assert "1,234,567 documents, 123,456 tokens/s" in stream.getvalue()
    assert " 25 %" in stream.getvalue()
    assert "0:03:00 left" in stream.getvalue()


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """IPython with what the browser would get in `display_pub.outputs`."""
    shell = InteractiveShell.instance()
    shell.display_pub = CapturingDisplayPublisher(parent=shell)
    yield shell
    InteractiveShell.clear_instance()


def test_in_notebook(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch):
    assert not in_notebook()
    monkeypatch.setattr(shell, "kernel", SimpleNamespace(), raising=False)
    assert in_notebook()


def test_line_of_a_notebook(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "NOTEBOOK_EVERY", 0.0)
    with notebook_progress() as show:
        show(account((60, 5, 0), (0, 1234, 6000), done=250))
    first, *updates = shell.display_pub.outputs
    assert first["data"] == {"text/plain": "starting"}
    assert [update["data"] for update in updates] == [
        {"text/plain": "1,234 documents, 100 tokens/s, 25% read, 0:08:20, 0:03:00 left"}
    ] * 2
    assert {update["transient"]["display_id"] for update in updates} == {first["transient"]["display_id"]}
    assert all(update["update"] for update in updates)


def test_updates_of_a_notebook_are_throttled(shell: InteractiveShell):
    with notebook_progress() as show:
        for _ in range(100):
            show(account())
    assert len(shell.display_pub.outputs) == 3  # the beginning, the first state and the last
