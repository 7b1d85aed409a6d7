"""Ends that a run must come to by itself: in a clear sentence, in bounded time, with everything committed kept."""

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
from tests.chaos.harness import Harness, chosen_blows
from tests.chaos.inputs import write_inputs
from tests.chaos.proxy import Fault, Kind
from tests.chaos.run import Run
from tests.support.commands import Finished, run_command
from tests.support.outputs import assert_consistent, document_rows, entity_rows

pytestmark = pytest.mark.integration

PATIENCE = 6.0
"""Seconds of storage faults that runs of these tests ride out."""


def assert_clear(run: Run | Finished) -> None:
    """One sentence, and nothing that only a developer reads."""
    assert "Traceback" not in run.stderr
    assert run.stderr.strip().splitlines()[-1].startswith("craft-ray: ")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["slow_down", "reset"])
def test_endless_faults_end_a_run_within_its_patience_and_the_next_run_completes_the_tables(
    harness: Harness, kind: Kind
):
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
    assert harness.report.failures == []
    assert not kept - harness.expected.ids


@pytest.mark.long
def test_a_driver_whose_head_node_is_lost_ends_by_itself_and_a_new_cluster_completes_the_tables(harness: Harness):
    """Where only Ray's control service is gone, `RAY_gcs_rpc_server_reconnect_timeout_s` bounds it, 60 s unless set."""
    output = harness.fresh_output()
    harness.fill(output, chosen_blows(["head lost"]), patient=True)
    assert harness.report.failures == []
    assert 0 < harness.report.head_lost_seconds_most < 60


@pytest.mark.long
def test_of_two_runs_at_once_each_completes_the_tables_or_says_that_it_will_not(harness: Harness):
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
    assert harness.report.failures == []


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of a given size; skips, saying so, where mounting is not permitted."""
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


@pytest.mark.long
def test_a_full_disk_ends_a_run_in_one_sentence_and_with_room_the_next_completes_the_tables(
    inputs: Path, tmp_path: Path
):
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
        undisturbed = annotate(inputs, tmp_path / "undisturbed")
        assert undisturbed.code == 0, undisturbed.stderr[-2000:]
        assert document_rows(disk / "out") == document_rows(tmp_path / "undisturbed")
        assert entity_rows(disk / "out") == entity_rows(tmp_path / "undisturbed")


HOG = """
import sys, time
import numpy as np, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
held = []
try:
    while True:
        held.append(ray.put(np.random.default_rng(len(held)).integers(0, 255, 4 << 20, np.uint8)))
        print(len(held), flush=True)
except Exception as error:
    print("full", type(error).__name__, flush=True)
sys.stdin.read()
"""
"""Another job on the cluster, which fills its object store and then the disk that it spills to, and holds both."""


@pytest.mark.long
def test_object_stores_and_spill_disk_that_others_have_filled_end_a_run_clearly_or_do_not_matter(
    inputs: Path, tmp_path: Path
):
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
    undisturbed = annotate(inputs, tmp_path / "undisturbed")
    assert undisturbed.code == 0, undisturbed.stderr[-2000:]
    assert document_rows(tmp_path / "out") == document_rows(tmp_path / "undisturbed")
    assert entity_rows(tmp_path / "out") == entity_rows(tmp_path / "undisturbed")


@pytest.mark.long
def test_a_replica_that_runs_out_of_memory_costs_no_row(harness: Harness):
    harness.fill(harness.fresh_output(), chosen_blows(["replica out of memory"]), patient=True)
    assert harness.report.failures == []
