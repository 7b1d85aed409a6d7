"""The benchmark of a CPU, each part on little input."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from craft_ray.bench import benchmark
from craft_ray.bench.benchmark import GOALS, cpu_goals, run_benchmark
from craft_ray.bench.host_path import host_path
from craft_ray.bench.inputs import SAMPLE, BenchSizes, Inputs, read_inputs
from craft_ray.bench.measure import in_turn, rates
from craft_ray.bench.model_stage import model_stage
from craft_ray.bench.rivals import comparable
from craft_ray.bench.whole_jobs import same_rows, whole_job
from craft_ray.core.errors import RunError, SettingsError
from craft_ray.model.engines.stand_in import STAND_IN
from craft_ray.model.loading import load_checkpoint

SIZES = BenchSizes(repeats=1, stage=600, rival=2000, job=8000)


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return Inputs(*read_inputs([str(SAMPLE)]), load_checkpoint(), tmp_path, SIZES, 2)


def test_runs_are_taken_in_turn_after_a_warm_up():
    calls: list[str] = []
    results = in_turn({"a": lambda: calls.append("a") or len(calls), "b": lambda: calls.append("b") or len(calls)}, 2)  # type: ignore[func-returns-value]
    assert calls == ["a", "b"] * 3
    assert results == {"a": [3, 5], "b": [4, 6]}
    assert rates(100, [1, 2, 5]) == {"median": 50.0, "lowest": 20.0, "highest": 100.0, "repeats": 3}


def test_model_stage(inputs: Inputs):
    stage = model_stage(inputs, ["fp32"], batches=(1, 8))
    assert stage["model"] == "craft-iob"
    assert stage["tokens"] >= 600
    speeds = stage["tokens_per_second"]
    assert speeds.keys() == {"pipeline, batch 1", "pipeline, batch 8", "fp32", "fp32, a sentence a window"}
    assert stage["sentences_with_the_same_spans"]["fp32"] == 1
    assert all(0 < speed["lowest"] <= speed["median"] <= speed["highest"] for speed in speeds.values())


def test_a_model_that_disagrees_is_not_compared(inputs: Inputs):
    def finds_nothing(folder: str, device: str, threads: int):
        return lambda sentences, batch_size: [[] for _ in sentences]

    with pytest.raises(RunError, match="other spans than the pipeline"):
        model_stage(inputs, ["fp32"], batches=(), load_rival=finds_nothing)


def test_only_a_model_that_labels_words_once_is_compared_itself():
    for name in ("craft", "craft-iob"):
        assert comparable(load_checkpoint(name)).source == "craft-iob"


def test_rows_that_differ_are_an_error(tmp_path: Path):
    rows = {"doc_id": ["a", "b"], "label": ["Taxon", "Cell"], "start": [0, 4], "end": [3, 8]}
    theirs, same, other = (tmp_path / f"{name}.parquet" for name in ("theirs", "same", "other"))
    pq.write_table(pa.table(rows), theirs)
    pq.write_table(pa.table({name: values[::-1] for name, values in rows.items()}), same)
    pq.write_table(pa.table(rows | {"end": [3, 9]}), other)
    assert same_rows(theirs, same) == 2
    with pytest.raises(RunError, match="2 differ"):
        same_rows(theirs, other)


def test_host_path(inputs: Inputs, tmp_path: Path):
    files = {format: [str(shutil.copy(file, tmp_path)) for file in files] for format, files in inputs.files.items()}
    measured = host_path(replace(inputs, files=files | {"jats": inputs.files["jats"]}))
    assert measured.pop("jats") is None, "the sample is no collection"
    assert measured.keys() == {"jsonl", "pubmed"}
    for kind, found in measured.items():
        assert found["tokens"] >= 1900, kind
        assert found["tokens_per_second"]["median"] > 1000, kind
        assert min(found["microseconds_per_token"][part] for part in ("sentences", "decode", "concept ids")) > 0, kind


@pytest.mark.long
@pytest.mark.integration
def test_ray_data_and_ours_give_the_same_rows(inputs: Inputs):
    job = whole_job(inputs, batch_size=8)
    assert job["tokens"] >= 1500
    assert job["rows"] > 20
    assert job["seconds"].keys() == {"pattern", "exact", "default"}


def test_inputs_without_documents_are_a_bad_setting(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(SettingsError, match="no documents"):
        read_inputs([str(tmp_path)])


def test_the_rate_of_a_stand_in_is_above_zero():
    assert load_checkpoint(f"{STAND_IN}:250").stand_in.tokens_per_second == 250
    for rate in ("0", "-5", "fast"):
        with pytest.raises(SettingsError, match="rate"):
            load_checkpoint(f"{STAND_IN}:{rate}")


def result() -> dict[str, Any]:
    def speed(value: float) -> dict[str, float]:
        return rates(1, [1 / value])

    def job(tokens: int, seconds: float, peak: float) -> dict[str, float]:
        return {"tokens": tokens, "seconds_with_the_model": seconds, "peak_all_mb": peak}

    commands = {"help": 0.8, "bad setting": 5.0, "nothing new": 5.0, "show": 5.0}
    stage = {f"pipeline, batch {size}": speed(size) for size in (8, 100, 16)}
    host = {"jsonl": 400_000, "pubmed": 300_000, "jats": 200_000}
    return {
        "model_stage": {
            "default": "int8",
            "tokens_per_second": stage | {"int8": speed(1000), "fp32, a sentence a window": speed(250)},
        },
        "whole_job": {"tokens_per_second": {"pattern": speed(100), "exact": speed(200), "default": speed(600)}},
        "ten_times": {
            "once": job(1000, 10.0, 100.0),
            "five_times": job(5000, 14.0, 100.0),
            "ten_times": job(10_000, 19.1, 120.0),
            "model_stage_on_the_same_documents": 1000.0,
        },
        "host_path": {name: {"tokens_per_second": speed(value)} for name, value in host.items()},
        "short_commands": {name: {"cpu_to_import_ray": ratio} for name, ratio in commands.items()},
    }


def test_the_parts_of_a_benchmark(monkeypatch: pytest.MonkeyPatch):
    measured, seen = result() | {"start": {}}, []
    for part in measured:
        monkeypatch.setattr(benchmark, part, lambda *given, part=part: seen.append(given[1:]) or measured[part])
    steps: list[str] = []
    found = run_benchmark([str(SAMPLE)], SIZES, steps.append, "craft")
    assert steps == ["model_stage", "host_path", "whole_job", "ten_times", "start", "short_commands", "goals"]
    assert seen == [(), (), (100,), (), (), ()], "Ray Data's pattern runs at the pipeline's best batch size"
    assert {name: found[name] for name in measured} == measured
    assert found["goals"] == cpu_goals(measured)
    assert (found["model"], found["sizes"]["stage"]) == ("craft", 600)


def test_no_goal_is_checked_without_files_of_its_format():
    measured = result()
    measured["host_path"]["jats"] = None
    (row,) = (row for row in cpu_goals(measured) if "jats" in row["what"])
    assert (row["value"], row["met"]) == (None, None)


def test_goals():
    goals = {goal["what"]: goal for goal in cpu_goals(result())}
    assert goals.keys() == {name for name in GOALS if not name.startswith("GPU")}
    assert {name: goal["value"] for name, goal in goals.items()} == {
        "model stage as by default / pipeline at its best batch size": 10.0,
        "model stage in fp32, the pipeline's windows and spans / pipeline at its best batch size": 2.5,
        "whole job as by default / Ray Data's pattern": 6.0,
        "whole job in fp32, the same rows / Ray Data's pattern": 2.0,
        "whole job, start-up apart / model stage alone on the same documents": 0.989,
        "host path from jsonl, tokens per second and core": 400_000,
        "host path from pubmed, tokens per second and core": 300_000,
        "host path from jats, tokens per second and core": 200_000,
        "time per document from five times to ten times the documents / from one time to five": 1.02,
        "peak memory for ten times the documents / for one": 1.2,
        "help, CPU time / that of `import ray`": 0.8,
        "bad setting, CPU time / that of `import ray`": 5.0,
        "nothing new, CPU time / that of `import ray`": 5.0,
        "show, CPU time / that of `import ray`": 5.0,
    }
    assert {name for name, goal in goals.items() if not goal["met"]} == {
        "peak memory for ten times the documents / for one",
        "host path from jats, tokens per second and core",
        "bad setting, CPU time / that of `import ray`",
        "nothing new, CPU time / that of `import ray`",
    }
