"""Readers and preprocessing on hostile inputs."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from craft_ray.annotation.rows import SHARD_END
from craft_ray.core.schema import REASONS
from tests.conftest import ROOT
from tests.support.hostile.corpus import cases
from tests.support.hostile.making import Case, article
from tests.support.reading import only

BOUNDS = {False: (15 << 20, 200, 10), True: (256 << 20, 2000, 20)}
"""By tier: the largest document in bytes, which in the gate is less than in production, so that bombs need not have
hundreds of megabytes; the memory in MB and the seconds of CPU time that reading a shard may take.
"""


@dataclass(frozen=True)
class Reading:
    rows: list[dict[str, Any]]
    megabytes: int
    seconds: float


@pytest.fixture(scope="module")
def readings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reading]:
    """What reading each shard in a process of its own gives and takes, by name."""
    largest, *_ = BOUNDS[request.config.getoption("long")]
    command = [sys.executable, "-m", "tests.support.hostile.measured", str(largest), tmp_path_factory.mktemp("shards")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: Reading(*reading) for name, *reading in map(json.loads, done.stdout.splitlines())}


def no_json(name: str) -> None:
    raise ValueError(name)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_hostile_shard(case: Case, readings: dict[str, Reading], request: pytest.FixtureRequest):
    reading = readings[case.name]
    *rows, end = reading.rows
    assert {row["doc_id"]: row["reason"] or row["status"] for row in rows} == case.expected(case.name)
    assert len(rows) == len(case.outcome)
    assert end["status"] == SHARD_END
    assert {row["reason"] for row in rows} <= {None, *REASONS}
    for row in rows:
        assert row["metadata"] is None or isinstance(json.loads(row["metadata"], parse_constant=no_json), dict)
    _, megabytes, seconds = BOUNDS[request.config.getoption("long")]
    assert reading.megabytes < megabytes
    assert reading.seconds < seconds


def test_nested_text_is_read_once():
    content = article(f"<fig>{'<caption>' * 100}<p>mice</p>{'</caption>' * 100}</fig>")
    assert only(content, "x.nxml").text == "mice"


def test_section_names_have_a_bounded_length():
    content = article(f"<sec><title>{'long ' * 1000}</title>" * 50 + "<p>mice</p>" + "</sec>" * 50)
    assert max(len(section.name) for section in only(content, "x.nxml").sections) == 1000
