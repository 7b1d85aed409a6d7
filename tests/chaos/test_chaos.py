"""Whatever is killed, the same command run again gives the same tables."""

import os
from pathlib import Path

import pytest

from tests.chaos.blows import OVERTAKEN
from tests.chaos.harness import Harness, campaign, running_harness

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.mark.parametrize("after", ["driver killed", "driver terminated", OVERTAKEN])
def test_runs_survive_blows(harness: Harness, after: str):
    """A run is struck several times and then killed, stopped or suspended; the next run completes its tables."""
    blows = ["lost acknowledgement", "replica killed", "503 SlowDown", "node lost", "writer killed"]
    if after == "driver terminated":
        blows = ["connection reset", "raylet killed", "reader killed", "truncated body", "store killed"]
    harness.fill(harness.fresh_output(), [*blows, after], patient=True)
    assert harness.failures == []
    assert after in harness.struck


def test_a_hundred_random_blows(seed: int, tmp_path: Path):
    """Half an hour. CHAOS_BLOWS sets how many, CHAOS_SEED the seed."""
    blows = int(os.environ.get("CHAOS_BLOWS", "100"))
    with running_harness(tmp_path / "work", seed, documents=1200, rate=6_000) as harness:
        campaign(harness, blows)
    assert harness.failures == []
    assert harness.struck.total() >= blows
