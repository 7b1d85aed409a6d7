"""Whole jobs of the benchmark, on a real Ray."""

from pathlib import Path

import pytest

from craft_ray.bench.inputs import SAMPLE, Inputs, read_inputs
from craft_ray.bench.measure import BenchSizes
from craft_ray.bench.whole_jobs import pubmed_file, whole_job
from craft_ray.model.loading import load_checkpoint

pytestmark = pytest.mark.integration


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    sizes = BenchSizes(repeats=1, stage=1500, rival=2000, job=4_000, citations=10_000)
    return Inputs(read_inputs([str(SAMPLE)]), load_checkpoint(), tmp_path, sizes, 2)


@pytest.mark.long
def test_ray_datas_pattern_gives_the_rows_that_ours_gives(inputs: Inputs):
    """The benchmark itself fails if a row differs."""
    stage = {
        "tokens_per_second": {f"pipeline, batch {size}": {"median": 10.0 - size % 7} for size in (1, 4, 8, 16, 32)}
    }
    job = whole_job(inputs, stage)
    assert job["tokens"] >= 1500
    assert job["seconds"].keys() == {"pattern", "exact", "default"}


@pytest.mark.long
def test_a_large_citation_file_gives_rows_before_it_is_read(
    local_ray: None, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CRAFT_RAY_CONCEPTS", "false")  # of the stand-in's mentions most would be looked up in vain
    job = pubmed_file(inputs)
    assert job["documents"] == 10_000
    assert job["rows_before_the_input_was_read"]
    assert 50 < job["peak_worker_mb"] < 1500
