"""The benchmark's parts, on little input: what they compare agrees, and what they report is measured."""

import json
from pathlib import Path

import pytest

from craft_ray.bench import whole_jobs
from craft_ray.bench.baselines import PIPELINE_BATCHES
from craft_ray.bench.goals import GOALS, check_goals
from craft_ray.bench.host_path import host_path
from craft_ray.bench.inputs import SAMPLE, Inputs, read_inputs
from craft_ray.bench.measure import BenchSizes, Measured
from craft_ray.bench.model_stage import model_stage
from craft_ray.bench.plot import plot
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.loading import load_checkpoint

SIZES = BenchSizes(repeats=1, stage=600, rival=3000, job=8000, sleeper_rate=5000, sleeper_seconds=1, citations=300)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(read_inputs([str(SAMPLE)]), load_checkpoint(), tmp_path, SIZES, 2)


def test_the_model_stage_is_compared_after_it_agrees(inputs: Inputs):
    stage = model_stage(inputs, ["fp32"], batches=(1, 8))
    assert stage["tokens"] >= 600
    speeds = stage["tokens_per_second"]
    assert {"pipeline, batch 1", "pipeline, batch 8", "fp32"} < speeds.keys()
    assert stage["sentences_with_the_pipelines_spans"]["fp32"] == 1
    assert all(speed["lowest"] <= speed["median"] <= speed["highest"] for speed in speeds.values())


def test_a_model_that_disagrees_is_not_compared(inputs: Inputs):
    def finds_nothing(folder: str, device: str, threads: int):
        return lambda sentences, batch_size: [[] for _ in sentences]

    with pytest.raises(RunError, match="other spans than the pipeline"):
        model_stage(inputs, ["fp32"], load_rival=finds_nothing)


def test_rows_that_differ_are_an_error(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {"doc_id": ["a", "b"], "label": ["Taxon", "Cell"], "start": [0, 4], "end": [3, 8]}
    pq.write_table(pa.table(rows), tmp_path / "theirs.parquet")
    pq.write_table(pa.table({name: values[::-1] for name, values in rows.items()}), tmp_path / "same.parquet")
    pq.write_table(pa.table(rows | {"end": [3, 9]}), tmp_path / "other.parquet")
    assert whole_jobs.same_rows(tmp_path / "theirs.parquet", tmp_path / "same.parquet", [])["same"] == 2
    with pytest.raises(RunError, match="2 differ"):
        whole_jobs.same_rows(tmp_path / "theirs.parquet", tmp_path / "other.parquet", [("b", 5, 9), ("a", 4, 9)])
    rows = whole_jobs.same_rows(tmp_path / "theirs.parquet", tmp_path / "other.parquet", [("b", 0, 90)])
    assert rows == {"same": 1, "pattern_in_long_sentences": 1, "ours_in_long_sentences": 1}


def test_the_host_path_is_measured_in_parts_and_for_each_kind_of_input(inputs: Inputs):
    measured = host_path(inputs)
    rates = measured["tokens_per_second_per_core"]
    assert rates["all"]["median"] < min(rates[part]["median"] for part in ("prepare", "replica", "stage"))
    assert measured["by_input"].keys() == {"jsonl", "pubmed", "jats"}
    for kind, found in measured["by_input"].items():
        assert found["tokens"] > 1000, kind
        assert found["all"]["median"] > 1000


def test_inputs_without_documents_are_a_bad_setting(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(SettingsError, match="no documents"):
        read_inputs([str(tmp_path)])


def test_a_stand_in_without_a_rate_above_zero_is_a_bad_setting():
    assert load_checkpoint(f"{STAND_IN}:250").stand_in.tokens_per_second == 250
    for rate in ("0", "-5", "fast"):
        with pytest.raises(SettingsError, match="rate"):
            load_checkpoint(f"{STAND_IN}:{rate}")


def speed(value: float) -> dict[str, float]:
    return Measured([value, value + 1]).report()


def result() -> dict:
    job = {"tokens": 1000, "peak_all_mb": 100.0, "seconds_with_the_model": 10.0}
    return {
        "machine": {"processor": "p", "cores": 2, "gpu": None},
        "model_stage": {
            "default": "int8",
            "tokens_per_second": {f"pipeline, batch {size}": speed(100) for size in PIPELINE_BATCHES}
            | {"int8": speed(1000), "fp32": speed(300), "fp32, a sentence a window": speed(250)},
        },
        "matrix_peak": {"formats": {"int8": {"share_of_peak": 0.5}, "fp32": {"share_of_peak": 0.8}}},
        "whole_job": {"tokens_per_second": {"pattern": speed(100), "exact": speed(200), "default": speed(600)}},
        "ten_times": {
            "once": job,
            "five_times": job | {"tokens": 5000, "seconds_with_the_model": 14.0},
            "ten_times": job | {"tokens": 10_000, "peak_all_mb": 120.0, "seconds_with_the_model": 19.1},
            "model_stage_on_the_same_documents": 1000.0,
        },
        "host_path": {
            "by_input": {
                "jsonl": {"all": speed(400_000)},
                "pubmed": {"all": speed(300_000)},
                "jats": {"all": speed(200_000)},
            }
        },
        "short_commands": {
            name: {"cpu_to_import_ray": 0.8 if name == "help" else 5.0}
            for name in ("help", "bad setting", "nothing new", "show")
        },
        "pubmed_file": {"peak_worker_mb": 300.0, "rows_before_the_input_was_read": True},
        "sleepers": {
            "rate_of_one": 10,
            "replicas": {"1": {"steady_tokens_per_second": 10}, "2": {"steady_tokens_per_second": 19}},
            "without_sleep": {"steady_tokens_per_second": 30},
        },
    }


def test_goals_say_what_was_met_and_what_was_not():
    goals = {goal["what"]: goal for goal in check_goals(result())}
    assert len(goals) == len(GOALS)
    assert goals["model stage as by default / pipeline at its best batch size"]["value"] == pytest.approx(9.91, abs=0.1)
    whole_job = goals["whole job, start-up apart / model stage alone on the same documents"]
    assert whole_job["value"] == pytest.approx(9000 / 9.1 / 1000, abs=0.001)
    growth = goals["time per document from five times to ten times the documents / from one time to five"]
    assert growth["value"] == pytest.approx(1.02)
    missed = {name for name, goal in goals.items() if not goal["met"]}
    assert missed == {
        "model stage as by default / matrix peak of its number format",
        "peak memory for ten times the documents / for one",
        "host path from jats, tokens per second and core",
        "bad setting, CPU time / that of `import ray`",
        "nothing new, CPU time / that of `import ray`",
    }
    json.dumps(list(goals.values()))


def test_the_plot_is_drawn(tmp_path: Path):
    plot(result(), tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
