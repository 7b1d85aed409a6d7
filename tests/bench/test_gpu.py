"""The benchmark of a GPU: each of its parts on a CPU, and one sentence where there is no GPU."""

import json
from pathlib import Path

import pytest
import torch

from craft_ray.bench.gpu import (
    EXACT,
    PRECISIONS,
    BertShape,
    GpuSizes,
    check_device,
    device_of,
    forms,
    gpu_goals,
    model_forms,
    pipeline_rate,
    random_bert,
    whole_jobs,
)
from craft_ray.bench.inputs import SAMPLE, Inputs, read_inputs
from craft_ray.bench.matrix_peak import device_peak
from craft_ray.bench.measure import BenchSizes
from craft_ray.bench.plot import plot_gpu
from craft_ray.model.loading import load_checkpoint

SIZES = GpuSizes(tokens=600, seconds=0.01, sentences=8, batches=(4, 8), products=((64, 32, 32),), job=3000, budget=512)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    folder = random_bert(tmp_path / "small", "craft", BertShape(2, 32, 2, 64))
    return Inputs(read_inputs([str(SAMPLE)]), load_checkpoint(str(folder)), tmp_path, BenchSizes(), 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_ends_in_one_sentence(command, tmp_path: Path):
    done = command("bench", "--gpu", "--output", tmp_path / "out")
    assert done.code == 2
    assert "torch sees no GPU here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_each_form_is_measured_and_agrees_with_fp32(inputs: Inputs):
    chosen = forms(PRECISIONS, compiled=False)
    assert len(chosen) == 6
    peak = {p: device_peak(p, "cpu", SIZES.products, SIZES.seconds) for p in PRECISIONS}
    part = model_forms(inputs, SIZES, "cpu", peak, chosen)
    assert part["tokens"] >= 600
    assert part["forms"].keys() == chosen.keys()
    for name, row in part["forms"].items():
        assert row["tokens_per_second"]["repeats"] >= 3
        assert row["share_of_peak"] > 0
        assert row["words_as_in_fp32"] > (0.999 if name.startswith("fp32") else 0.9), name


def test_compiled_forms_are_measured_where_there_is_one_shape():
    names = set(forms(PRECISIONS))
    assert EXACT in names
    assert {"fp16, packed, compiled", "bf16, padded, compiled", "fp32, padded, compiled"} < names
    assert "fp32, packed, compiled" not in names
    assert len(names) == 11


def test_a_form_that_a_device_cannot_do_is_told_and_is_no_end(inputs: Inputs, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments, **more):
        raise RuntimeError("no kernel image is available\nfor this device")

    monkeypatch.setattr("craft_ray.model.engines.bert.attend_by_length", refuse)
    peak = dict.fromkeys(PRECISIONS, 1e9)
    part = model_forms(inputs, SIZES, "cpu", peak, forms(["fp32"], compiled=False))
    assert part["forms"]["fp32, packed"] == {"failed": "no kernel image is available"}
    assert "tokens_per_second" in part["forms"][EXACT]


def test_the_pipeline_is_measured_at_each_batch_size(inputs: Inputs):
    part = pipeline_rate(inputs, SIZES, "cpu")
    assert part["pipeline"].keys() == {"pipeline, batch 4", "pipeline, batch 8"}
    assert all(row["tokens_per_second"]["median"] > 0 for row in part["pipeline"].values())


@pytest.mark.long
@pytest.mark.integration
def test_whole_jobs_are_measured_beside_the_host_path(inputs: Inputs):
    jobs = whole_jobs(inputs, SIZES)
    assert jobs.keys() == {
        "one replica per GPU",
        "two replicas per GPU",
        "one replica per GPU, compiled",
        "host path alone",
    }
    assert len({job["tokens"] for job in jobs.values()}) == 1


def result() -> dict:
    def speed(value: float) -> dict:
        return {"tokens_per_second": {"median": value, "lowest": value - 1, "highest": value + 1}}

    forms = {
        "fp16, packed": speed(900.0) | {"share_of_peak": 0.3},
        "bf16, packed": speed(800.0) | {"share_of_peak": 0.6},
    }
    part = {
        "forms": forms | {"fp16, packed, compiled": {"failed": "no"}},
        "pipeline": {"pipeline, batch 4": speed(100.0)},
    }
    job = {"steady_tokens_per_second": 630.0}
    return {
        "machine": {"processor": "p"},
        "device": device_of("cpu"),
        "models": {"craft": part, "bert-base": part},
        "jobs": {"one replica per GPU": job, "host path alone": {"steady_tokens_per_second": 720.0}},
    }


def test_goals_compare_what_was_measured():
    goals = gpu_goals(result(), "craft")
    assert [goal["value"] for goal in goals] == [9.0, 0.6, 0.875]
    assert [goal["met"] for goal in goals] == [True, True, False]
    json.dumps(goals)


def test_the_plot_leaves_out_what_failed(tmp_path: Path):
    plot_gpu(result(), tmp_path / "gpu.png")
    assert (tmp_path / "gpu.png").read_bytes().startswith(b"\x89PNG")


def test_a_device_that_is_there_is_no_error():
    check_device("cpu")
