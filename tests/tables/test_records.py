"""The records of runs, as they are shown to those who look at an output."""

import shutil
from datetime import datetime
from importlib import metadata
from pathlib import Path

import pytest

from craft_ray.tables.lease import hold_lease
from craft_ray.tables.records import (
    RunRecord,
    kept_versions,
    last_model,
    number_kept,
    read_record,
    read_records,
    runs_of,
)
from tests.support.outputs import STORAGE


def test_a_record_tells_at_each_time_what_is_known_of_its_run(tmp_path: Path):
    record = RunRecord(STORAGE, str(tmp_path), "1", inputs=["in"])
    began = read_record(STORAGE, str(tmp_path), "1")
    assert began is not None
    assert began | {"status": "running", "inputs": ["in"], "finished": None} == began
    assert began["versions"]["deltalake"] == metadata.version("deltalake")
    record.add(plan={"replicas": 2})
    assert read_record(STORAGE, str(tmp_path), "1") == began | {"plan": {"replicas": 2}}
    record.close("complete", {"adds_up": True}, [[1.5, 2, 30]], {"documents": 4})
    ended = read_record(STORAGE, str(tmp_path), "1")
    assert ended is not None
    assert datetime.fromisoformat(ended["started"]) <= datetime.fromisoformat(ended["finished"])
    assert ended == began | {
        "status": "complete",
        "finished": ended["finished"],
        "plan": {"replicas": 2},
        "account": {"adds_up": True},
        "progress": [[1.5, 2, 30]],
        "tables": {"documents": 4},
        "error": None,
    }
    assert read_record(STORAGE, str(tmp_path), "2") is None


def test_what_is_no_record_is_passed_over(tmp_path: Path):
    RunRecord(STORAGE, str(tmp_path), "1")
    runs = tmp_path / "runs"
    for name, content in (("2", "[]"), ("3", "{"), ("4", "{}"), ("5", (runs / "1.json").read_text())):
        (runs / f"{name}.json").write_text(content)
    assert [record["run_id"] for record in read_records(STORAGE, str(tmp_path))] == ["1"]


def test_a_failure_is_told_though_its_record_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    record = RunRecord(STORAGE, str(tmp_path), "1")
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "runs").write_text("Where a folder was, a file is in the way.")
    record.close("failed", {}, [], {}, "the disk is gone")
    assert "could not write the run's record" in caplog.text
    with pytest.raises(OSError, match="exists"):
        record.close("complete", {}, [], {})


def test_a_run_that_did_not_say_how_it_ended_was_killed_unless_it_is_at_work(tmp_path: Path):
    with hold_lease(STORAGE, str(tmp_path)) as lease:
        for run_id, ends in (("1", True), ("2", False), (lease.run_id, False)):
            record = RunRecord(STORAGE, str(tmp_path), run_id)
            if ends:
                record.close("complete", {}, [], {})
        statuses = {record["run_id"]: record["status"] for record in runs_of(STORAGE, str(tmp_path))}
    assert statuses == {"1": "complete", "2": "killed", lease.run_id: "running"}


def test_how_much_is_kept_stands_with_the_output_until_another_number_is_given(tmp_path: Path):
    assert number_kept(STORAGE, str(tmp_path), None) == 0
    for run_id, facts in (
        ("1", {"settings": {"keep_versions": 3}}),  # a record of before the number had a key of its own
        ("2", {"settings": {"keep_versions": None}, "keep_versions": 2}),
    ):
        RunRecord(STORAGE, str(tmp_path), run_id, **facts).close("complete", {}, [], {"documents": int(run_id)})
        assert number_kept(STORAGE, str(tmp_path), None) == {"1": 3, "2": 2}[run_id]
    assert number_kept(STORAGE, str(tmp_path), 0) == 0
    assert kept_versions(STORAGE, str(tmp_path), None) == [{"documents": 2}, {"documents": 1}]
    assert kept_versions(STORAGE, str(tmp_path), 0) == []


def test_the_model_of_an_output_is_that_of_its_last_run(tmp_path: Path):
    assert last_model(STORAGE, str(tmp_path)) is None
    for run_id in "12":
        RunRecord(STORAGE, str(tmp_path), run_id, model={"fingerprint": f"f{run_id}"})
    assert last_model(STORAGE, str(tmp_path)) == {"fingerprint": "f2"}
