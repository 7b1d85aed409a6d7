"""A run writes no credential anywhere and opens no port to other machines."""

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import SAMPLE
from tests.support.commands import COMMAND
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.integration


@pytest.mark.long
def test_a_run_writes_no_credential_and_listens_on_loopback_alone(s3_server: S3Server):
    prefix, filesystem = s3_server.fresh_prefix(), s3_server.filesystem()
    filesystem.put(f"{SAMPLE}/", f"{prefix}/in/", recursive=True)
    arguments: set[str] = set()
    listening: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="ray-") as ray_folder:  # short, for the names of sockets are
        process = subprocess.Popen(
            [*COMMAND, "annotate", f"{prefix}/in", "--output", f"{prefix}/out", "--model", "stand-in", "--json"],
            env=os.environ | s3_server.environment | {"RAY_TMPDIR": ray_folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while process.poll() is None:
            for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                try:
                    arguments.add(" ".join(one.cmdline()))
                    listening |= {c.laddr.ip for c in one.net_connections("inet") if c.status == psutil.CONN_LISTEN}
                except psutil.Error:
                    continue  # it has ended meanwhile
            with suppress(subprocess.TimeoutExpired):
                process.wait(1)  # a look takes a good part of a second of CPU
        output, _ = process.communicate()
        assert process.returncode == 0, output
        files = [file for file in Path(ray_folder).rglob("*") if file.is_file()]
        assert any(file.suffix == ".log" for file in files)
        assert any("raylet" in line for line in arguments)
        written = [path for path in filesystem.find(f"{prefix}/out") if not filesystem.isdir(path)]
        assert len(written) > 10
        secret = s3_server.secret.encode()
        assert [file for file in files if secret in file.read_bytes()] == []
        assert [path for path in written if secret in filesystem.cat_file(path)] == []
        assert [line for line in (output, *arguments) if s3_server.secret in line] == []
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}
