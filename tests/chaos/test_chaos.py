"""Whatever is killed, the same command run again gives the same tables."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.blows import BLOWS
from tests.chaos.harness import Harness, running_harness
from tests.chaos.proxy import Fault, Kind

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of all randomness. It fixes the blows and their times; what they hit depends on the machine too."""
    return int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))


@pytest.fixture(scope="module")
def shared_harness(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("chaos") / "work"
    with running_harness(folder, seed, documents=400, rate=2_500) as harness:
        yield harness


@pytest.fixture
def harness(shared_harness: Harness) -> Harness:
    shared_harness.begin()
    print(f"CHAOS_SEED={shared_harness.seed}")
    return shared_harness


@pytest.mark.parametrize(
    "blows",
    [
        ["lost acknowledgement", "replica killed", "503 SlowDown", "node lost", "writer killed", "driver killed"],
        ["connection reset", "raylet killed", "reader killed", "truncated body", "store killed", "driver terminated"],
        ["replica out of memory", "head lost"],
    ],
    ids=lambda blows: blows[-1],
)
def test_runs_survive_blows(harness: Harness, blows: list[str]):
    """A run is struck several times, the last time fatally; the next run completes its tables."""
    harness.fill(harness.fresh_output(), blows, patient=True)
    assert harness.failures == []
    assert blows[-1] in harness.struck


@pytest.mark.parametrize("kind", ["slow_down", "reset"])
def test_endless_faults_end_a_run_within_its_patience(harness: Harness, kind: Kind):
    """With one sentence and all commits kept; the next run completes them."""
    output, patience = harness.fresh_output(), 6
    run = harness.start(output, {"CRAFT_RAY_PATIENCE": str(patience)})
    assert harness.await_commits(run, output, 2), run.stderr
    harness.proxy.strike(Fault(kind))
    ended = run.wait(patience + 40)
    harness.proxy.heal()
    run.end()
    assert ended
    assert run.code == 1, run.stderr
    assert run.sentence.startswith("craft-ray: ")
    assert "Traceback" not in run.stderr
    kept, _ = harness.rows(output)
    assert kept
    harness.fill(output, [])
    assert harness.failures == []


def test_a_hundred_random_blows(seed: int, tmp_path: Path):
    """A few for each output. Half an hour; CHAOS_BLOWS sets how many, CHAOS_SEED the seed."""
    blows = int(os.environ.get("CHAOS_BLOWS", "100"))
    with running_harness(tmp_path / "work", seed, documents=1200, rate=6_000) as harness:
        while (left := blows - harness.struck.total()) > 0:
            number = min(left, harness.random.randint(6, 14))
            harness.fill(harness.fresh_output(), harness.random.choices(list(BLOWS), k=number))
    assert harness.failures == []
    assert harness.struck.total() >= blows
