"""Jobs submitted to a real cluster of three nodes: logs, status, stopping, and their metrics in Prometheus."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from cluster.local.cluster import ROOT
from craft_ray.annotation.prometheus import COMMIT_SECONDS, COUNTERS
from tests.support.outputs import assert_consistent
from tests.support.prometheus import PROMETHEUS, Prometheus, running_prometheus

pytestmark = pytest.mark.integration

LOCAL = [sys.executable, str(ROOT / "cluster" / "local" / "cluster.py")]
DOCUMENTS, SHARDS = 280, 7


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder of a cluster, and the environment by which it is reached, as `up` prints them."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    arguments = ["--folder", str(folder)]
    quick = os.environ | {"RAY_metrics_report_interval_ms": "1000"}
    subprocess.run([*LOCAL, "up", "--nodes", "3", *arguments], env=quick, check=True, stdout=subprocess.PIPE)
    lines = (folder / "environment").read_text().splitlines()
    yield folder, os.environ | dict(line.removeprefix("export ").split("=", 1) for line in lines)
    subprocess.run([*LOCAL, "down", *arguments], check=True)
    assert not folder.exists()


@pytest.fixture(scope="module")
def client(cluster: tuple[Path, dict[str, str]]) -> JobSubmissionClient:
    folder, environment = cluster
    token = (folder / "token").read_text()
    return JobSubmissionClient(environment["RAY_API_SERVER_ADDRESS"], headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def prometheus(cluster: tuple[Path, dict[str, str]], tmp_path: Path) -> Iterator[Prometheus]:
    if PROMETHEUS is None:
        pytest.skip("no prometheus here: apt-get install prometheus")
    with running_prometheus(tmp_path, cluster[0] / "prom_metrics_service_discovery.json") as server:
        yield server


def submit(environment: dict[str, str], job: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """`ray job submit`, which prints the job's logs as they come."""
    small = json.dumps({"env_vars": {"CRAFT_RAY_BLOCK_MB": "0.002"}})  # makes many commits
    command = [Path(sys.executable).with_name("ray"), "job", "submit", "--working-dir", ".", "--submission-id", job]
    entrypoint = ["python", "jobs/annotate.py", *map(str, arguments)]
    return subprocess.Popen(
        [*command, "--runtime-env-json", small, "--", *entrypoint],
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def until(what: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def json_lines(logs: str) -> list[dict[str, Any]]:
    """The structured lines of a job's log."""
    return [json.loads(line) for line in logs.splitlines() if line.startswith("{") and '"event"' in line]


def expressions() -> list[str]:
    dashboard = json.loads((ROOT / "cluster" / "grafana.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [expression.replace("$__rate_interval", "30s") for expression in found]


def test_the_dashboard_shows_every_metric():
    shown = " ".join(expressions())
    for name in COUNTERS:
        assert f"ray_{name}_total" in shown
    assert f"ray_{COMMIT_SECONDS}_bucket" in shown


@pytest.mark.long
def test_a_job_is_stopped_and_submitted_again(
    cluster: tuple[Path, dict[str, str]], client: JobSubmissionClient, prometheus: Prometheus, tmp_path: Path
):
    _, environment = cluster
    notes, output = tmp_path / "notes", tmp_path / "out"
    notes.mkdir()
    for shard in range(SHARDS):
        ids = range(shard, DOCUMENTS, SHARDS)
        lines = [json.dumps({"id": f"n{i}", "text": f"Mouse {i} has a gene. " * 8}) for i in ids]
        (notes / f"{shard}.jsonl").write_text("\n".join(lines if shard else [*lines, "{broken"]))
    arguments = (notes, "--output", output, "--log-format", "json", "--json", "--model")

    with submit(environment, "first", *arguments, "stand-in:300") as first:  # slow: it is stopped long before its end
        waiting = set(expressions())
        until(lambda: not waiting.difference_update([e for e in waiting if prometheus.query(e)]) and not waiting)
        until(lambda: len(prometheus.query("sum by (replica) (ray_craft_ray_replica_tokens_total)")) == 2)
        committed = sum(float(row["value"][1]) for row in prometheus.query("sum(ray_craft_ray_entities_total)"))
        client.stop_job("first")
        logs, _ = first.communicate(timeout=240)
    assert client.get_job_status("first") == JobStatus.STOPPED
    stopped = json.loads(next(line for line in logs.splitlines() if line.startswith('{"run_id"') and "adds_up" in line))
    assert stopped["status"] == "stopped"
    assert 0 < committed <= sum(stopped["entities"].values())
    events = json_lines(logs)
    assert {event["run_id"] for event in events} == {stopped["run_id"]}
    assert {event["event"] for event in events} >= {"run started", "pass started", "committed", "run finished"}
    kept = stopped["documents"]["annotated"]
    assert 0 < kept < DOCUMENTS

    with submit(environment, "second", *arguments, "stand-in") as second:
        logs, _ = second.communicate(timeout=240)
    assert client.get_job_status("second") == JobStatus.SUCCEEDED, logs
    assert second.returncode == 0
    done = json.loads(next(line for line in logs.splitlines() if line.startswith('{"run_id"') and "adds_up" in line))
    assert done["documents"]["annotated"] == DOCUMENTS - kept
    assert done["documents"]["found"] == DOCUMENTS + 1
    shards = [event for event in events + json_lines(logs) if event["event"] == "shard"]
    assert sorted(event["shard"] for event in shards) == sorted(str(path) for path in notes.iterdir())
    assert {event["run_id"] for event in shards} <= {stopped["run_id"], done["run_id"]}
    assert sum(event["found"] for event in shards) == DOCUMENTS + 1
    assert assert_consistent(output) == {"annotated": DOCUMENTS, "rejected": 1}


def test_job_status_follows_exit_code(client: JobSubmissionClient, tmp_path: Path):
    job = client.submit_job(
        entrypoint=f"python {ROOT}/jobs/annotate.py /no/such/input --output {tmp_path} --model stand-in"
    )
    until(lambda: client.get_job_status(job).is_terminal())
    assert client.get_job_status(job) == JobStatus.FAILED
    assert client.get_job_info(job).driver_exit_code == 2
    assert "the input /no/such/input does not exist" in client.get_job_logs(job)


def test_a_second_cluster_in_a_folder_is_refused(cluster: tuple[Path, dict[str, str]]):
    folder, _ = cluster
    again = subprocess.run([*LOCAL, "up", "--folder", folder], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "there is a cluster in" in again.stderr
