"""Notifications of a run's end, sent to a real HTTP server."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from craft_ray.annotation.notify import notify
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import load_settings

SECRET = "hush-hush"


class Receiver(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.received: list[dict] = []
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/{SECRET}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.answering.wait()
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.answering.set()
        server.shutdown()
        thread.join()


def test_the_summary_arrives_as_json(receiver: Receiver):
    assert notify(receiver.url, {"status": "complete", "documents": {"annotated": 3}})
    assert receiver.received == [{"status": "complete", "documents": {"annotated": 3}}]


def test_a_refusal_is_logged_without_the_path(receiver: Receiver, caplog):
    receiver.status = 500
    assert not notify(receiver.url, {})
    assert "could not notify 127.0.0.1 of the run's end: 500" in caplog.text
    assert SECRET not in caplog.text


def test_a_receiver_that_hangs_delays_a_run_by_the_timeout(receiver: Receiver):
    receiver.answering.clear()
    began = time.monotonic()
    assert not notify(receiver.url, {}, timeout=0.3)
    assert time.monotonic() - began < 60  # the receiver answers only after the test


def test_a_refused_connection_is_no_error():
    assert not notify("http://127.0.0.1:1/x", {})


def test_the_address_is_a_secret_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_NOTIFY", f"https://example.org/{SECRET}")
    assert SECRET not in json.dumps(load_settings().model_dump(mode="json"))
    monkeypatch.setenv("CRAFT_RAY_NOTIFY", f"file:///{SECRET}")
    with pytest.raises(SettingsError, match="begins with http") as caught:
        load_settings()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://host/hush-hush x",
        "http://host:abc/hush-hush",
        "http:///hush-hush",
        "http://[host/hush-hush",
        "http://h\n/",
    ],
)
def test_an_address_that_cannot_be_used_is_a_bad_setting(address: str):
    with pytest.raises(SettingsError, match="a web address has a host, perhaps a port, and no blanks") as raised:
        load_settings(notify=address)
    assert SECRET not in str(raised.value)


def test_no_address_changes_how_a_run_ends():
    assert not notify(f"http://host:abc/{SECRET}", {})
    assert not notify(f"http://127.0.0.1:9/{SECRET} x", {})
