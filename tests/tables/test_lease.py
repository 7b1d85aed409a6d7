"""One run at a time works on an output; the lease of a killed run is taken over without waiting."""

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from craft_ray.core.errors import OutputBusyError, SettingsError, StoppedError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables import lease
from craft_ray.tables.lease import hold_lease, lease_holder, next_run_id
from tests.support.scripted_store import scripted_store

STORAGE = Storage(S3Settings())
FAR = "20260101T000000-aaaaaaaa"


def waits(seconds: float) -> bool:
    return threading.Event().wait(seconds / 20)


def never(seconds: float) -> bool:
    raise AssertionError("there is nothing to wait for")


def hold(output: Path | str, wait=waits):
    return hold_lease(STORAGE, str(output), wait)


def test_second_run_is_refused(tmp_path: Path):
    with (
        hold(tmp_path) as first,
        pytest.raises(OutputBusyError, match=f"{first.run_id}, process {os.getpid()}"),
        hold(tmp_path),
    ):
        pass
    with hold(tmp_path):
        pass
    assert lease_holder(STORAGE, str(tmp_path)) is None
    assert [file.name for file in (tmp_path / "_lease").iterdir()] == ["00000002.json"]


HELD = """
import os, sys
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
with hold_lease(Storage(S3Settings()), sys.argv[1]):
    os.kill(os.getpid(), 9)
"""


def test_lease_of_a_killed_process_is_taken_without_waiting(tmp_path: Path):
    killed = subprocess.run([sys.executable, "-c", HELD, tmp_path], check=False)
    assert killed.returncode == -9
    assert lease_holder(STORAGE, str(tmp_path)) is None
    with hold(tmp_path, wait=never):
        pass


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The lease of a run on another machine."""
    file = tmp_path / "_lease" / "00000001.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"run_id": FAR, "scope": "other-host x 1", "pid": 1, "started": 0.0, "beat": 7}))
    return file


def test_lease_without_heartbeat_expires_after_30_seconds(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    clock = [1000.0]

    def passes(seconds: float) -> bool:
        clock[0] += seconds
        return False

    monkeypatch.setattr(lease.time, "monotonic", lambda: clock[0])
    assert lease_holder(STORAGE, str(elsewhere.parent.parent)) == FAR
    with hold(elsewhere.parent.parent, passes):
        assert not elsewhere.exists()
    assert clock == [1030.0]
    assert f"the run {FAR} may still be at work here; waiting 30 s for its heartbeat" in caplog.text


def test_heartbeat_of_another_machine_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "BEAT", 0.02)
    with ExitStack() as first:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(lease, "_pid_scope", lambda: "other-host x 1")
            first.enter_context(hold(tmp_path))
        with pytest.raises(OutputBusyError, match=r"process .* on other-host"), hold(tmp_path):
            pass


def test_lease_released_while_waiting_is_taken(elsewhere: Path):
    waited: list[float] = []

    def ends(seconds: float) -> bool:
        waited.append(seconds)
        elsewhere.write_text(elsewhere.read_text().replace('"beat": 7', '"beat": 8, "released": true'))
        return False

    with hold(elsewhere.parent.parent, wait=ends):
        assert len(waited) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "{}", '{"run_id": "a run of another program"}'])
def test_file_that_is_no_lease_is_ignored(elsewhere: Path, content: str):
    elsewhere.write_text(content)
    with hold(elsewhere.parent.parent, wait=never) as lease:
        assert lease_holder(STORAGE, str(elsewhere.parent.parent)) == lease.run_id


def test_ids_sort_by_lease_and_not_by_clock(tmp_path: Path):
    """Clocks of hosts differ: by an id of an earlier run that sorts later, a vacuum took the files of a later run."""
    (tmp_path / "_lease").mkdir()
    ahead = {"run_id": "29991231T235959-ffffffff", "scope": "x", "pid": 1, "started": 0, "beat": 1, "released": True}
    (tmp_path / "_lease" / "00000001.json").write_text(json.dumps(ahead))
    ids = []
    for _ in range(3):
        with hold(tmp_path) as held:
            ids.append(held.run_id)
    assert ids == sorted(ids)
    assert ids[0].startswith("30000101T000000-")


def test_run_ids_are_the_time():
    now = datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC)
    assert next_run_id("", now).startswith("20261130T120001-")
    assert next_run_id("20261130T115959-ffffffff", now).startswith("20261130T120001-")
    assert next_run_id("20261130T120001-00000000", now).startswith("20261130T120002-")


def test_signal_ends_the_wait(elsewhere: Path):
    with pytest.raises(StoppedError), hold(elsewhere.parent.parent, wait=lambda seconds: True):
        pass


def test_only_one_of_six_concurrent_runs_gets_the_lease(on_s3: str):
    outcomes: list[str] = []
    ready, tried = threading.Barrier(6), threading.Barrier(6)

    def begin(number: int) -> None:
        storage = Storage(S3Settings())
        storage.names(on_s3)
        ready.wait()
        try:
            with hold_lease(storage, on_s3, waits):
                outcomes.append("held")
                tried.wait()
        except OutputBusyError:
            outcomes.append("busy")
            tried.wait()

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["busy"] * 5 + ["held"]
    assert not any("probe" in name for name in STORAGE.names(f"{on_s3}/_lease"))


def test_suspended_run_notices_that_its_lease_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "BEAT", 0.05)
    with hold(tmp_path) as suspended:
        assert not suspended.lost.wait(0.3)
        (tmp_path / "_lease" / "00000002.json").write_text("{}")
        assert suspended.lost.wait(10)
        (tmp_path / "_lease" / "00000001.json").unlink()
    assert [file.name for file in (tmp_path / "_lease").iterdir()] == ["00000002.json"]


def test_store_without_conditional_writes_is_refused(monkeypatch: pytest.MonkeyPatch):
    """As some older ones, which take every PUT, whatever its conditions are."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with scripted_store(200, only_puts=True) as endpoint:
        storage = Storage(S3Settings(endpoint_url=endpoint), patience=0)
        with (
            pytest.raises(SettingsError, match="ignores If-None-Match"),
            hold_lease(storage, "s3://bucket/out", waits),
        ):
            pass
