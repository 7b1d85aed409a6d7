"""The preStop script of a KubeRay head, on a real head with a job server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


def test_jobs_have_time_to_end(head: dict[str, str], tmp_path: Path):
    spec = yaml.safe_load((ONCE / "rayjob.yaml").read_text())["spec"]
    environment = json.dumps(yaml.safe_load(spec["runtimeEnvYAML"]))
    jobs = ("one", "other")
    for job in jobs:
        command = ("--no-wait", "--runtime-env-json", environment, "--", sys.executable, "-c", SLOW)
        ray_job(head, "submit", f"--submission-id={job}", *command, f"{tmp_path}/{job}", f"{tmp_path}/{job}.begun")
    deadline = time.monotonic() + 120
    while len([*tmp_path.glob("*.begun")]) < len(jobs):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    subprocess.run([sys.executable, ONCE / "stop.py"], env=os.environ | head, timeout=60, check=True)
    for job in jobs:
        assert "stopped" in ray_job(head, "status", job).lower()
        assert (tmp_path / job).read_text() == "ended"
