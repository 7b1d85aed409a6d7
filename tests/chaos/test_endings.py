"""Failures that end a run: with one sentence, in bounded time, and all commits kept; the next run completes them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.local.cluster import running_cluster
from tests.chaos import outcome
from tests.chaos.harness import Harness
from tests.chaos.inputs import write_inputs
from tests.chaos.proxy import Fault, Kind
from tests.chaos.run import Run
from tests.support.commands import Finished, run_command
from tests.support.outputs import assert_consistent, document_rows, entity_rows

pytestmark = [pytest.mark.integration, pytest.mark.long]

PATIENCE = 6.0
"""Seconds for which storage is retried."""


def assert_clear(run: Run | Finished) -> None:
    """One sentence and no traceback."""
    assert "Traceback" not in run.stderr
    assert run.stderr.strip().splitlines()[-1].startswith("craft-ray: ")


@pytest.mark.parametrize("kind", ["slow_down", "reset"])
def test_endless_faults_end_a_run_within_its_patience(harness: Harness, kind: Kind):
    output = harness.fresh_output()
    run = harness.start(output, {"CRAFT_RAY_PATIENCE": str(PATIENCE)})
    harness.wait_for_commits(run, output, 2)
    harness.proxy.strike(Fault(kind))
    began = time.monotonic()
    ended = run.wait(PATIENCE + 40)
    harness.proxy.heal()
    run.end()
    assert ended, f"still running {time.monotonic() - began:.0f} s after the faults began"
    assert run.code == 1, run.stderr[-2000:]
    assert_clear(run)
    kept, halves = outcome.committed(harness.store, output)
    assert kept
    assert halves == 0
    harness.fill(output, [])
    assert harness.failures == []
    assert not kept - harness.expected.ids


def test_a_lost_head_ends_the_driver(harness: Harness):
    output = harness.fresh_output()
    harness.fill(output, ["head lost"], patient=True)
    assert harness.failures == []
    assert harness.struck["head lost"]


def test_two_concurrent_runs(harness: Harness):
    output = harness.fresh_output()
    first = harness.start(output)
    harness.wait_for_commits(first, output, 1)
    second = harness.start(output)
    assert first.wait(120)
    assert second.wait(120)
    for run in (first, second):
        assert run.code in (0, 4), run.stderr[-2000:]
        if run.code == 4:
            assert_clear(run)
    assert 0 in (first.code, second.code)
    harness.compare(output)
    assert harness.failures == []


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of a given size. Skips the test where mounting is not permitted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    write_inputs(folder, 500)
    return folder


def annotate(inputs: Path, output: Path, **variables: str) -> Finished:
    settings = {"CRAFT_RAY_BLOCK_MB": "0.03", "CRAFT_RAY_PATIENCE": str(PATIENCE)}
    return run_command(
        "annotate", inputs, "--output", output, "--model", "stand-in", "--json", environment=settings | variables
    )


def assert_undisturbed(inputs: Path, output: Path) -> None:
    """The tables are those of a run that nothing disturbs."""
    other = inputs.parent / "undisturbed"
    done = annotate(inputs, other)
    assert done.code == 0, done.stderr[-2000:]
    assert document_rows(output) == document_rows(other)
    assert entity_rows(output) == entity_rows(other)


def test_a_full_disk(inputs: Path, tmp_path: Path):
    with small_disk(tmp_path / "disk", "400k") as disk:
        full = annotate(inputs, disk / "out")
        assert full.code == 1, full.stderr[-2000:]
        assert_clear(full)
        assert "No space left" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        done = annotate(inputs, disk / "out")
        assert done.code == 0, done.stderr[-2000:]
        assert done.summary is not None
        assert_consistent(disk / "out")
        assert_undisturbed(inputs, disk / "out")


HOG = """
import sys, time
import numpy as np, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
blocks = []
try:
    while True:
        blocks.append(ray.put(np.random.default_rng(len(blocks)).integers(0, 255, 4 << 20, np.uint8)))
        print(len(blocks), flush=True)
except Exception as error:
    print("full", type(error).__name__, flush=True)
sys.stdin.read()
"""
"""Another job on the cluster, which fills its object store and then the disk that it spills to."""


def test_full_object_stores_and_spill_disk(inputs: Path, tmp_path: Path):
    root = str(Path(__file__).parent.parent.parent)
    with (
        small_disk(tmp_path / "spill", "16m") as spill,
        running_cluster(
            {}, workers=0, cpus=2, object_store_mb=80, options=(f"--object-spilling-directory={spill}",)
        ) as cluster,
    ):
        hog = subprocess.Popen(
            [sys.executable, "-c", HOG, cluster.address],
            env=os.environ | cluster.environment,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert hog.stdout is not None
            assert any(line.startswith("full") for line in hog.stdout), "the object store never filled"
            full = annotate(inputs, tmp_path / "out", **cluster.environment)
            assert full.code in (0, 1), full.stderr[-2000:]
            if full.code:
                assert_clear(full)
        finally:
            hog.kill()
            hog.communicate()
        done = annotate(inputs, tmp_path / "out", **cluster.environment)
        assert done.code == 0, done.stderr[-2000:]
    assert_undisturbed(inputs, tmp_path / "out")


def test_a_replica_out_of_memory_costs_no_row(harness: Harness):
    harness.fill(harness.fresh_output(), ["replica out of memory"], patient=True)
    assert harness.failures == []
