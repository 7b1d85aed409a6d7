"""cluster/slurm on a real Slurm of two nodes: a preempted run comes back and goes on, and exit codes come through."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from cluster.local.cluster import ROOT
from tests.support.notes import write_notes
from tests.support.outputs import assert_consistent
from tests.support.slurm import Slurm, missing, running_slurm

pytestmark = pytest.mark.integration

FOLDER = ROOT / "cluster" / "slurm"
SBATCH = FOLDER / "annotate.sbatch"
DOCUMENTS = 280
SMALL = {"CRAFT_RAY_BLOCK_MB": "0.002"}  # many blocks, and commits


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    if absent := missing():
        pytest.skip(f"no {', '.join(absent)} here: apt-get install slurm-wlm munge")
    with running_slurm() as slurm:
        yield slurm


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    write_notes(tmp_path / "notes", DOCUMENTS, files=7)
    return tmp_path / "notes"


def environment() -> dict[str, str]:
    """The variables of a user's shell where craft-ray's environment is active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(Path.home()), **SMALL}


def submit(slurm: Slurm, *arguments: str | Path, options: tuple[str, ...] = ()) -> str:
    """The number of a job that runs the script."""
    return slurm.run("sbatch", "--parsable", *options, SBATCH, *arguments, **environment())


def log_of(slurm: Slurm, job: str) -> str:
    return (slurm.folder / f"craft-ray-{job}.log").read_text()


def summaries(slurm: Slurm, job: str) -> list[dict[str, Any]]:
    """The summaries that the runs of a job printed."""
    return [json.loads(line) for line in log_of(slurm, job).splitlines() if line.startswith('{"run_id"')]


def committed(output: Path) -> int:
    """The rows of `documents`."""
    return DeltaTable(output / "documents").count() if DeltaTable.is_deltatable(str(output / "documents")) else 0


def requeued(times: int):
    return lambda job: job["Restarts"] == str(times) and job["JobState"] in ("PENDING", "RUNNING")


def ended(job: dict[str, str]) -> bool:
    return job["JobState"] in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")


@pytest.mark.long
def test_preemption(slurm: Slurm, notes: Path, tmp_path: Path):
    output = tmp_path / "out"
    job = submit(slurm, notes, "--output", output, "--model", "stand-in:700", "--json")
    slurm.wait(job, lambda _: committed(output) > 0)

    urgent = slurm.run("sbatch", "--parsable", "--partition=high", "--nodes=2", "--exclusive", "--wrap=hostname")
    slurm.wait(job, requeued(1))
    stopped = summaries(slurm, job)
    assert [summary["status"] for summary in stopped] == ["stopped"]
    kept = stopped[0]["documents"]["annotated"]
    assert 0 < kept == committed(output) < DOCUMENTS
    assert slurm.wait(urgent, ended)["JobState"] == "COMPLETED"

    done = slurm.wait(job, ended)
    assert (done["JobState"], done["ExitCode"], done["Restarts"]) == ("COMPLETED", "0:0", "1"), log_of(slurm, job)
    last = summaries(slurm, job)[-1]
    assert last["status"] == "complete"
    assert last["documents"]["annotated"] == DOCUMENTS - kept
    assert assert_consistent(output) == {"annotated": DOCUMENTS}
    assert json.loads((output / "runs" / f"{last['run_id']}.json").read_text())["plan"]["replicas"] == 2
    assert not Path(f"/tmp/craft-ray-{job}").exists()


def test_exit_code(slurm: Slurm, tmp_path: Path):
    job = submit(slurm, "/no/such/input", "--output", tmp_path / "out", "--model", "stand-in", options=("--nodes=1",))
    done = slurm.wait(job, ended)
    assert (done["JobState"], done["ExitCode"]) == ("FAILED", "2:0")
    assert "the input /no/such/input does not exist" in log_of(slurm, job)


@pytest.mark.long
@pytest.mark.parametrize(
    "way",
    [
        ("scancel", "--batch", "--signal=TERM"),  # what --signal=B:TERM@120 does as well, before a time limit
        ("scontrol", "requeue"),  # as when its node fails, or where preemption has no grace
    ],
)
def test_a_job_that_is_requeued_goes_on(slurm: Slurm, notes: Path, tmp_path: Path, way: tuple[str, ...]):
    output = tmp_path / "out"
    job = submit(slurm, notes, "--output", output, "--model", "stand-in:350", "--json")
    slurm.wait(job, lambda _: committed(output) > 0)
    slurm.run(*way, job)
    done = slurm.wait(job, lambda job: ended(job) and job["Restarts"] == "1")
    assert (done["JobState"], done["ExitCode"]) == ("COMPLETED", "0:0")
    assert assert_consistent(output) == {"annotated": DOCUMENTS}


@pytest.mark.long
def test_scrontab_example(slurm: Slurm, notes: Path, tmp_path: Path):
    """The scheduled job, submitted by hand with its own options: Debian's Slurm has no scrontab."""
    output = tmp_path / "out"
    lines = (FOLDER / "scrontab.example").read_text().splitlines()
    schedule, _, command = lines[-1].partition(" . ")
    assert schedule == "0 3 * * *"
    activate = tmp_path / "activate"
    activate.write_text("".join(f"export {name}={value}\n" for name, value in environment().items()))
    command = (
        f". {command} --model stand-in".replace("/shared/craft_ray/.venv/bin/activate", str(activate))
        .replace("/shared/craft_ray/cluster", str(ROOT / "cluster"))
        .replace("s3://my-bucket/pubmed", str(notes))
        .replace("s3://my-bucket/tables", str(output))
    )
    script = tmp_path / "scheduled"
    options = [line.replace("#SCRON", "#SBATCH") for line in lines if line.startswith("#SCRON")]
    script.write_text("\n".join(["#!/bin/sh", *options, command, ""]))
    submitting = slurm.run("sbatch", "--parsable", script)
    assert slurm.wait(submitting, ended)["ExitCode"] == "0:0", slurm.logs()
    log = (slurm.folder / "craft-ray-submit.log").read_text()
    assert slurm.wait(log.split()[-1], ended)["ExitCode"] == "0:0", slurm.logs()
    assert assert_consistent(output) == {"annotated": DOCUMENTS}
