"""A store that is full ends a run at once, where its answer says so."""

import secrets
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError

from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from tests.support.ceph_server import CephAccess

FULL = "the object storage is full, or a quota of it is used up"


class FullStore(BaseHTTPRequestHandler):
    """An empty store that answers each PUT as MinIO does where a drive has reached its threshold."""

    protocol_version = "HTTP/1.1"  # else no client that asks for 100-continue is answered
    FULL = b"<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its threshold.</Message></Error>"
    MISSING = b"<Error><Code>NoSuchKey</Code></Error>"
    NOTHING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(507, self.FULL)

    def do_GET(self) -> None:
        self.answer(*((200, self.NOTHING) if "list-type" in self.path else (404, self.MISSING)))

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """No line on stderr for each request."""


@pytest.fixture
def full_minio(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address in a store that takes nothing."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FullStore) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield "s3://bucket/out"
        server.shutdown()


@pytest.fixture
def full_ceph(ceph: CephAccess, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address in a bucket that holds as many objects as its quota lets it."""
    for name, value in ceph.environment.items():
        monkeypatch.setenv(name, value)
    bucket = f"full-{secrets.token_hex(4)}"
    ceph.filesystem().call_s3("create_bucket", Bucket=bucket)
    of_bucket = ("--quota-scope=bucket", f"--bucket={bucket}")
    ceph.administer("quota", "set", *of_bucket, "--max-objects=1")
    ceph.administer("quota", "enable", *of_bucket)
    ceph.filesystem().pipe_file(f"s3://{bucket}/the only one", b"x")
    return f"s3://{bucket}/out"


@pytest.mark.parametrize("maker", ["minio", "ceph"])
def test_a_full_store_is_told_at_once_by_both_clients(maker: str, request: pytest.FixtureRequest):
    folder: str = request.getfixturevalue(f"full_{maker}")
    storage = Storage(S3Settings(region="us-east-1"), patience=600)
    tries = []

    def tried(action: Callable[[], None]) -> Callable[[], None]:
        def noted() -> None:
            tries.append(action)
            action()

        return noted

    def with_delta() -> None:
        table = pa.table({"a": [1]})
        write_deltalake(f"{folder}/table", table, storage_options=storage.delta_options(folder) | {"max_retries": "0"})

    with pytest.raises(OSError, match=r"QuotaExceeded|has reached its threshold") as told:
        storage.with_retries(folder, tried(lambda: storage.filesystem(folder).pipe_file(f"{folder}/x", b"x")))
    assert describe(told.value) == FULL
    with pytest.raises(DeltaError) as told:
        storage.with_retries(folder, tried(with_delta), also=(DeltaError,))
    assert describe(told.value) == FULL
    assert len(tries) == 2
    with pytest.raises(SettingsError, match=f"cannot reach the output .*: {FULL}"):
        storage.check_writable(folder)
