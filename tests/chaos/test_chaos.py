"""Nothing lost, nothing twice, nothing let in: whatever is killed, the same command run again gives equal tables."""

import os
from pathlib import Path

import pytest

from tests.chaos.harness import Harness, campaign, chosen_blows, running_harness

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "blows",
    [
        ["lost acknowledgement", "replica killed", "503 SlowDown", "writer killed", "driver killed"],
        ["connection reset", "node lost", "reader killed", "store killed", "driver terminated"],
    ],
    ids=lambda blows: ", ".join(blows),
)
def test_tables_are_equal_after_blows_and_runs_until_one_ends(harness: Harness, blows: list[str]):
    harness.fill(harness.fresh_output(), chosen_blows(blows), patient=True)
    assert harness.close().failures == []
    assert harness.report.clean


def test_a_hundred_random_blows_lose_nothing_and_let_nothing_in(
    request: pytest.FixtureRequest, seed: int, tmp_path: Path
):
    """CHAOS_BLOWS, CHAOS_SEED and CHAOS_REPORT set how many, from which seed, and where the figures go."""
    if not request.config.getoption("long"):
        pytest.skip("half an hour: pytest --long")
    blows = int(os.environ.get("CHAOS_BLOWS", "100"))
    with running_harness(tmp_path / "work", seed, documents=1200, rate=15_000) as harness:
        report = campaign(harness, blows)
    if path := os.environ.get("CHAOS_REPORT"):
        report.write(Path(path))
    assert report.failures == []
    assert report.clean
    assert sum(report.blows.values()) >= blows
