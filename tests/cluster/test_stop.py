"""The preStop script of a KubeRay head, on a real head with a job server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
import yaml

from cluster.local.cluster import running_cluster
from tests.support.commands import CLUSTER

pytestmark = [pytest.mark.integration, pytest.mark.long]

ONCE = CLUSTER / "kuberay" / "once"

SLOW = """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(6)
    pathlib.Path(sys.argv[1]).write_text("ended")
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[2]).write_text("at work")
time.sleep(300)
"""
"""Takes longer to end than the three seconds that Ray gives a job by default."""


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """The environment of a head with a job server."""
    with running_cluster({"RAY_JOB_STOP_WAIT_TIME_S": "3"}, workers=0, cpus=2, dashboard=True) as cluster:
        yield cluster.environment


def ray_job(head: dict[str, str], *arguments: str) -> str:
    """Output of `ray job`, in a process of its own since Ray reads once per process how to authenticate."""
    command = [Path(sys.executable).with_name("ray"), "job", *arguments]
    return subprocess.run(
        command, env=os.environ | head, capture_output=True, text=True, check=True, timeout=120
    ).stdout


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_jobs_have_time_to_commit(head: dict[str, str], tmp_path: Path):
    documents, output = tmp_path / "documents", tmp_path / "tables"
    documents.mkdir()
    for shard in range(40):
        lines = [{"id": f"{shard}/{i}", "text": f"Pax6 is expressed in the mouse eye, {i}. " * 20} for i in range(100)]
        (documents / f"{shard}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run = [sys.executable, "-m", "craft_ray", "annotate", documents, "--output", output, "--json", "--model"]
    ended, at_work = tmp_path / "ended", tmp_path / "at_work"
    spec = yaml.safe_load((ONCE / "rayjob.yaml").read_text())["spec"]
    environment = json.dumps(yaml.safe_load(spec["runtimeEnvYAML"]))
    for name, command in {
        "run": [*run, "stand-in:20000"],
        "slow": [sys.executable, "-c", SLOW, ended, at_work],
    }.items():
        options = ("--submission-id", name, "--no-wait", "--runtime-env-json", environment)
        ray_job(head, "submit", *options, "--", *map(str, command))
    wait_for(lambda: at_work.exists() and any((output / "documents").glob("*.parquet")))

    subprocess.run([sys.executable, ONCE / "stop.py"], env=os.environ | head, timeout=60, check=True)

    assert all("stopped" in ray_job(head, "status", name).lower() for name in ("run", "slow"))
    assert ended.read_text() == "ended"
    summary = json.loads(next(line for line in ray_job(head, "logs", "run").splitlines() if line.startswith("{")))
    assert summary["status"] == "stopped"
    assert 0 < summary["documents"]["annotated"] < 4000
    again = subprocess.run(
        [*run, "stand-in"], env=os.environ | head, capture_output=True, text=True, timeout=300, check=True
    )
    finished = json.loads(again.stdout.strip().rpartition("\n")[2])
    assert finished["documents"]["annotated"] + summary["documents"]["annotated"] == 4000
    rows, ids = duckdb.sql(f"SELECT count(*), count(DISTINCT doc_id) FROM '{output}/documents/*.parquet'").fetchall()[0]
    assert (rows, ids) == (4000, 4000)
