"""Progress of a run in a notebook."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from craft_ray.annotation.account import Account
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.cli import notebook
from craft_ray.cli.notebook import in_notebook, notebook_progress
from craft_ray.storage.shards import Shard


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


def test_progress_line(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(notebook, "EVERY", 0.0)
    account = Account(Arrivals([Shard("<b>a</b>", 1000, number=0)]))
    with notebook_progress() as show:
        account.timeline.started = time.monotonic() - 90
        account.timeline.commits = [(time.monotonic() - 60, 5, 0), (time.monotonic(), 1234, 6000)]
        account.committed.statuses.update(annotated=1234)
        account.arrivals.bytes_done = 250
        show(account)
    first, *updates = shell.display_pub.outputs
    assert first["data"] == {"text/plain": "starting"}
    assert [update["data"] for update in updates] == [
        {"text/plain": "1,234 documents, 100 tokens/s, 25% read, 0:01:30, 0:03:00 left"}
    ] * 2
    assert {update["transient"]["display_id"] for update in updates} == {first["transient"]["display_id"]}
    assert all(update["update"] for update in updates)


def test_updates_are_throttled(shell: InteractiveShell):
    with notebook_progress() as show:
        for _ in range(100):
            show(Account(Arrivals([Shard("a", 1000, number=0)])))
    assert len(shell.display_pub.outputs) == 3  # the beginning, the first state and the last
