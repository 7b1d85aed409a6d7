"""The benchmark of a GPU, each part on a CPU."""

from pathlib import Path
from typing import Any

import pytest
import torch

from craft_ray.bench.benchmark import gpu_goals
from craft_ray.bench.gpu import FORMS, device_peaks, gpu_jobs, model_forms, pipeline_rates
from craft_ray.bench.inputs import SAMPLE, BenchSizes, Inputs, read_inputs
from craft_ray.model.loading import load_checkpoint

SIZES = BenchSizes(repeats=1, stage=600, job=3000)

AS_WRITTEN = [form for form in FORMS if not form[2]]
"""Forms without compilation, which takes minutes."""


@pytest.fixture
def inputs(tiny_checkpoint: Path, tmp_path: Path) -> Inputs:
    """With a small model, since fp16 is slow on a CPU."""
    return Inputs(*read_inputs([str(SAMPLE)]), load_checkpoint(str(tiny_checkpoint)), tmp_path, SIZES, 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_fails(command, tmp_path: Path):
    done = command("bench", "--gpu", "--output", tmp_path / "out")
    assert done.code == 2
    assert "torch sees no GPU here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_each_form_agrees_with_fp32(inputs: Inputs):
    peaks = device_peaks("cpu", repeats=1, products=[(64, 32, 32)])
    report = model_forms(inputs, "cpu", peaks, AS_WRITTEN, token_budget=512)
    assert len(report) == 6
    for name, row in report.items():
        assert row["tokens_per_second"]["repeats"] == 1
        assert row["share_of_peak"] > 0
        assert row["labels_as_in_fp32"] > (0.999 if name.startswith("fp32") else 0.9), name


def test_a_form_that_fails_is_reported(inputs: Inputs, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments, **more):
        raise RuntimeError("no kernel image is available\nfor this device")

    monkeypatch.setattr("craft_ray.model.engines.bert.attend_by_length", refuse)
    report = model_forms(inputs, "cpu", {"fp32": 1e9}, [form for form in AS_WRITTEN if form[0] == "fp32"])
    assert report["fp32, packed"] == {"failed": "no kernel image is available"}
    assert "tokens_per_second" in report["fp32, padded"]


def test_the_pipeline_at_each_batch_size(inputs: Inputs):
    speeds = pipeline_rates(inputs, "cpu", batches=(4, 8))
    assert speeds.keys() == {"pipeline, batch 4", "pipeline, batch 8"}
    assert all(speed["median"] > 0 for speed in speeds.values())


@pytest.mark.long
@pytest.mark.integration
def test_whole_jobs(inputs: Inputs):
    jobs = gpu_jobs(inputs)
    replicas = {"one replica per GPU", "two replicas per GPU", "one replica per GPU, compiled"}
    assert jobs.keys() == {*replicas, "host path alone"}
    assert len({job["tokens"] for job in jobs.values()}) == 1


def result() -> dict[str, Any]:
    def speed(value: float) -> dict[str, float]:
        return {"median": value, "lowest": value - 1, "highest": value + 1}

    return {
        "forms": {
            "fp16, packed": {"tokens_per_second": speed(900.0), "share_of_peak": 0.3},
            "bf16, packed": {"tokens_per_second": speed(800.0), "share_of_peak": 0.6},
            "fp16, packed, compiled": {"failed": "no"},
        },
        "pipeline": {"pipeline, batch 4": speed(100.0)},
        "jobs": {
            "one replica per GPU": {"steady_tokens_per_second": 630.0},
            "host path alone": {"steady_tokens_per_second": 720.0},
        },
    }


def test_goals():
    goals = gpu_goals(result())
    assert [goal["value"] for goal in goals] == [9.0, 0.6, 0.875]
    assert [goal["met"] for goal in goals] == [True, True, False]
