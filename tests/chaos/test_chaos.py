"""Nothing lost, nothing twice, nothing let in: whatever is killed, the same command run again gives equal tables."""

import os
from pathlib import Path

import pytest

from tests.chaos.blows import OVERTAKEN
from tests.chaos.harness import Harness, campaign, chosen_blows, running_harness

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "after",
    [
        "driver killed",
        pytest.param("driver terminated", marks=pytest.mark.long),
        pytest.param(OVERTAKEN, marks=pytest.mark.long),
    ],
)
def test_tables_are_equal_after_blows_and_runs_until_one_ends(harness: Harness, after: str):
    """A run is struck while it works, goes on, and is killed, stopped or suspended; another completes its tables."""
    blows = ["lost acknowledgement", "replica killed", "503 SlowDown", "node lost", "writer killed"]
    if after == "driver terminated":
        blows = ["connection reset", "raylet killed", "reader killed", "truncated body", "store killed"]
    harness.fill(harness.fresh_output(), chosen_blows([*blows, after]), patient=True)
    assert harness.close().failures == []
    assert harness.report.clean
    assert after in harness.report.blows


@pytest.mark.long
def test_a_hundred_random_blows_lose_nothing_and_let_nothing_in(seed: int, tmp_path: Path):
    """CHAOS_BLOWS, CHAOS_SEED and CHAOS_REPORT set how many, from which seed, and where the figures go."""
    blows = int(os.environ.get("CHAOS_BLOWS", "100"))
    with running_harness(tmp_path / "work", seed, documents=1200, rate=6_000) as harness:
        report = campaign(harness, blows)
    if path := os.environ.get("CHAOS_REPORT"):
        report.write(Path(path))
    assert report.failures == []
    assert report.clean
    assert sum(report.blows.values()) >= blows
