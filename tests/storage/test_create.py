"""Exclusive creation of files, on S3 servers of different makers."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from craft_ray.core.errors import OutputBusyError
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
from tests.support.commands import COMMAND, run_command
from tests.support.moto_server import running_moto
from tests.support.outputs import close, document_rows, entity_rows
from tests.support.s3_server import S3Access


@pytest.fixture(scope="module", params=["moto", "ceph", "seaweedfs"])
def server(request: pytest.FixtureRequest) -> Iterator[S3Access]:
    if request.param != "moto":
        yield request.getfixturevalue({"seaweedfs": "s3_server"}.get(request.param, request.param))
        return
    with running_moto() as started:
        yield started


@pytest.fixture
def prefix(server: S3Access, fresh_prefix_on: Callable[[S3Access], str]) -> str:
    return fresh_prefix_on(server)


@pytest.fixture
def storage(prefix: str) -> Storage:
    return Storage(S3Settings(), patience=5)


def test_create(storage: Storage, prefix: str):
    assert storage.create(f"{prefix}/x", b"first")
    assert not storage.create(f"{prefix}/x", b"second")
    assert storage.create(f"{prefix}/x", b"first"), "its writer, who has lost the acknowledgement"
    assert storage.read_bytes(f"{prefix}/x") == b"first"


def test_the_second_run_finds_the_output_busy(storage: Storage, prefix: str):
    with (
        hold_lease(storage, prefix),
        pytest.raises(OutputBusyError),
        hold_lease(storage, prefix),
    ):
        pytest.fail("two runs hold one output")


@pytest.mark.long
@pytest.mark.integration
def test_two_jobs_at_once(prefix: str, tmp_path: Path):
    """One annotates, the other ends with 4. After a kill, the same command makes the tables of an undisturbed run."""
    for number in range(40):
        lines = (json.dumps({"id": f"{number}-{n}", "text": f"Mouse {n} has Pax6 in its eye."}) for n in range(20))
        (tmp_path / f"{number:02}.jsonl").write_text("\n".join(lines))
    job = ["annotate", tmp_path, "--model", "stand-in:500", "--cpus", "2", "--output"]
    with ExitStack() as ending:
        jobs = [ending.enter_context(started(*job, f"{prefix}/out")) for _ in range(2)]
        busy = first_to_end(jobs)
        assert busy.returncode == 4, busy.stderr and busy.stderr.read()
        (working,) = [one for one in jobs if one is not busy]
        log = f"{prefix}/out/documents/_delta_log"
        until(lambda: len(Storage(S3Settings()).names(log)) > 3 or working.poll() is not None)
        assert working.poll() is None, working.stderr and working.stderr.read()
        working.kill()
        assert working.wait(timeout=30) == -signal.SIGKILL
    again = run_command(*job, f"{prefix}/out", "--json")
    assert again.code == 0, again.stderr
    assert again.summary is not None
    assert again.summary["documents"]["unchanged"] > 0
    assert run_command(*job, tmp_path / "local").code == 0
    options = Storage(S3Settings()).delta_options(prefix)
    assert document_rows(f"{prefix}/out", options) == document_rows(tmp_path / "local")
    assert close(entity_rows(f"{prefix}/out", options), entity_rows(tmp_path / "local"))


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([*COMMAND, *map(str, arguments)], text=True, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def first_to_end(processes: Sequence[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    until(lambda: any(process.poll() is not None for process in processes))
    return next(process for process in processes if process.poll() is not None)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
