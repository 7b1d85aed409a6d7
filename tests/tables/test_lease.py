"""One run at a time works on an output; the lease of a killed run is taken over without waiting."""

import json
import os
import subprocess
import sys
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from craft_ray.core.errors import OutputBusyError, SettingsError, StoppedError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables import lease
from craft_ray.tables.lease import hold_lease, lease_holder
from tests.support.s3_server import S3Server

STORAGE = Storage(S3Settings())


def waits(seconds: float) -> bool:
    return threading.Event().wait(seconds / 20)


def never(seconds: float) -> bool:
    raise AssertionError("there is nothing to wait for")


def hold(output: Path | str, run_id: str, wait=waits, notify=lambda text: None):
    return hold_lease(STORAGE, str(output), run_id, wait, notify)


def test_second_run_is_refused(tmp_path: Path):
    with (
        hold(tmp_path, "first"),
        pytest.raises(OutputBusyError, match=f"first, process {os.getpid()}"),
        hold(tmp_path, "second"),
    ):
        pass
    with hold(tmp_path, "third"):
        pass
    assert [file.name for file in (tmp_path / "_lease").iterdir()] == ["00000002.json"]


HELD = """
import os, sys
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
with hold_lease(Storage(S3Settings()), sys.argv[1], "killed"):
    os.kill(os.getpid(), 9)
"""


def test_lease_of_a_killed_process_is_taken_without_waiting(tmp_path: Path):
    killed = subprocess.run([sys.executable, "-c", HELD, tmp_path], check=False)
    assert killed.returncode == -9
    assert lease_holder(STORAGE, str(tmp_path)) is None
    with hold(tmp_path, "next", wait=never):
        pass


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The lease of a run on another machine."""
    file = tmp_path / "_lease" / "00000001.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"run_id": "far", "scope": "other-host x 1", "pid": 1, "started": 0.0, "beat": 7}))
    return file


def test_lease_without_heartbeat_expires_after_30_seconds(elsewhere: Path, monkeypatch: pytest.MonkeyPatch):
    clock = [1000.0]

    def passes(seconds: float) -> bool:
        clock[0] += seconds
        return False

    monkeypatch.setattr(lease.time, "monotonic", lambda: clock[0])
    messages: list[str] = []
    with hold(elsewhere.parent.parent, "next", passes, messages.append):
        assert not elsewhere.exists()
    assert clock == [1030.0]
    assert messages == ["the run far may still be at work here; waiting 30 s for its heartbeat"]


def test_heartbeat_of_another_machine_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "BEAT", 0.02)
    with ExitStack() as first:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(lease, "_pid_scope", lambda: "other-host x 1")
            first.enter_context(hold(tmp_path, "far"))
        with pytest.raises(OutputBusyError, match=r"far, process .* on other-host"), hold(tmp_path, "next"):
            pass


def test_lease_with_a_new_beat_is_busy(elsewhere: Path):
    def beats(seconds: float) -> bool:
        elsewhere.write_text(elsewhere.read_text().replace('"beat": 7', '"beat": 8'))
        return False

    with (
        pytest.raises(OutputBusyError, match="far, process 1 on other-host"),
        hold(elsewhere.parent.parent, "next", wait=beats),
    ):
        pass


def test_lease_released_while_waiting_is_taken(elsewhere: Path):
    waited: list[float] = []

    def ends(seconds: float) -> bool:
        waited.append(seconds)
        elsewhere.write_text(elsewhere.read_text().replace('"beat": 7', '"beat": 8, "released": true'))
        return False

    with hold(elsewhere.parent.parent, "next", wait=ends):
        assert len(waited) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "{}", '{"run_id": "a run of another program"}'])
def test_file_that_is_no_lease_is_ignored(elsewhere: Path, content: str):
    elsewhere.write_text(content)
    with hold(elsewhere.parent.parent, "next", wait=never):
        assert lease_holder(STORAGE, str(elsewhere.parent.parent)) == "next"


def test_lease_holder(tmp_path: Path, elsewhere: Path):
    assert lease_holder(STORAGE, str(elsewhere.parent.parent)) == "far"
    output = tmp_path / "another"
    assert lease_holder(STORAGE, str(output)) is None
    with hold(output, "here"):
        assert lease_holder(STORAGE, str(output)) == "here"
    assert lease_holder(STORAGE, str(output)) is None


def test_signal_ends_the_wait(elsewhere: Path):
    with pytest.raises(StoppedError), hold(elsewhere.parent.parent, "next", wait=lambda seconds: True):
        pass


def test_only_one_of_six_concurrent_runs_gets_the_lease(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    prefix = s3_server.fresh_prefix()
    outcomes: list[str] = []
    ready, tried = threading.Barrier(6), threading.Barrier(6)

    def begin(number: int) -> None:
        storage = Storage(S3Settings())
        storage.names(prefix)
        ready.wait()
        try:
            with hold_lease(storage, prefix, str(number), waits, outcomes.append):
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


def test_suspended_run_notices_that_its_lease_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "BEAT", 0.05)
    with hold(tmp_path, "suspended") as lost:
        assert not lost.wait(0.3)
        (tmp_path / "_lease" / "00000002.json").write_text("{}")
        (tmp_path / "_lease" / "00000001.json").unlink()
        assert lost.wait(10)
    assert [file.name for file in (tmp_path / "_lease").iterdir()] == ["00000002.json"]


class ForgetfulStore(BaseHTTPRequestHandler):
    """An S3 server that takes every PUT, whatever its conditions are, as some older ones do."""

    protocol_version = "HTTP/1.1"  # else no client that asks for 100-continue is answered

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """No line on stderr for each request."""


def test_store_without_conditional_writes_is_refused(monkeypatch: pytest.MonkeyPatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), ForgetfulStore) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        storage = Storage(S3Settings(endpoint_url=f"http://127.0.0.1:{server.server_port}"), patience=0)
        with (
            pytest.raises(SettingsError, match="ignores If-None-Match"),
            hold_lease(storage, "s3://bucket/out", "run", waits, print),
        ):
            pass
        server.shutdown()


def test_probe_is_removed(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch):
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    prefix = s3_server.fresh_prefix()
    storage = Storage(S3Settings())
    lease.check_conditional_writes(storage, prefix)
    assert not any("probe" in name for name in storage.names(f"{prefix}/_lease"))
