"""A web address is told how a run ended, and can neither delay nor change the end."""

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


class Address(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.told: list[dict] = []
        self.answer = 200
        self.hold = threading.Event()
        self.hold.set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{SECRET}"


class Handler(BaseHTTPRequestHandler):
    server: Address

    def do_POST(self) -> None:
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.hold.wait()
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[Address]:
    with Address() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.hold.set()
        server.shutdown()
        thread.join()


def test_the_summary_arrives_as_json(address: Address):
    assert notify(address.url, {"status": "complete", "documents": {"annotated": 3}})
    assert address.told == [{"status": "complete", "documents": {"annotated": 3}}]


def test_an_address_that_refuses_is_logged_without_what_may_be_secret(address: Address, caplog):
    address.answer = 500
    assert not notify(address.url, {})
    assert "could not notify 127.0.0.1 of the run's end: 500" in caplog.text
    assert SECRET not in caplog.text


def test_an_address_that_does_not_answer_holds_a_run_up_for_a_bounded_time(address: Address):
    address.hold.clear()
    began = time.monotonic()
    assert not notify(address.url, {}, patience=0.3)
    assert time.monotonic() - began < 60  # the address holds its answer until the test is over


def test_nobody_at_the_address_is_no_error():
    assert not notify("http://127.0.0.1:1/x", {})


def test_the_address_is_a_secret_of_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRAFT_RAY_NOTIFY", f"https://example.org/{SECRET}")
    assert SECRET not in json.dumps(load_settings().model_dump(mode="json"))
    monkeypatch.setenv("CRAFT_RAY_NOTIFY", f"file:///{SECRET}")
    with pytest.raises(SettingsError, match="begins with http") as caught:
        load_settings()
    assert SECRET not in str(caught.value)
