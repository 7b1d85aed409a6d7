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
    read_record,
    read_records,
    runs_of,
)
from tests.support.outputs import STORAGE


def test_record_of_a_run(tmp_path: Path):
    record = RunRecord(STORAGE, str(tmp_path), "1", inputs=["in"])
    began = read_record(STORAGE, str(tmp_path), "1")
    assert began | {"status": "running", "inputs": ["in"], "finished": None} == began
    assert began["versions"]["deltalake"] == metadata.version("deltalake")
    record.add(plan={"replicas": 2})
    assert read_record(STORAGE, str(tmp_path), "1") == began | {"plan": {"replicas": 2}}
    record.close("complete", {"adds_up": True}, [[1.5, 2, 30]], {"documents": 4})
    ended = read_record(STORAGE, str(tmp_path), "1")
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


def test_other_files_are_ignored(tmp_path: Path):
    RunRecord(STORAGE, str(tmp_path), "1")
    runs = tmp_path / "runs"
    for name, content in (("2", "[]"), ("3", "{"), ("4", "{}"), ("5", (runs / "1.json").read_text())):
        (runs / f"{name}.json").write_text(content)
    assert [record["run_id"] for record in read_records(STORAGE, str(tmp_path))] == ["1"]


def test_many_records_on_s3_come_newest_first(on_s3: str):
    numbers = [f"{number:03}" for number in range(30)]
    for number in numbers:
        RunRecord(STORAGE, on_s3, number)
    STORAGE.write_bytes(f"{on_s3}/runs/015.json", b"{")
    assert [record["run_id"] for record in read_records(STORAGE, on_s3)] == sorted({*numbers} - {"015"}, reverse=True)


def test_record_that_cannot_be_written_hides_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    record = RunRecord(STORAGE, str(tmp_path), "1")
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "runs").write_text("Where a folder was, a file is in the way.")
    record.close("failed", {}, [], {}, "the disk is gone")
    assert "could not write the run's record" in caplog.text
    with pytest.raises(OSError, match="exists"):
        record.close("complete", {}, [], {})


def test_status_of_killed_and_running_runs(tmp_path: Path):
    with hold_lease(STORAGE, str(tmp_path)) as lease:
        for run_id, ends in (("1", True), ("2", False), (lease.run_id, False)):
            record = RunRecord(STORAGE, str(tmp_path), run_id)
            if ends:
                record.close("complete", {}, [], {})
        statuses = {record["run_id"]: record["status"] for record in runs_of(STORAGE, str(tmp_path))}
    assert statuses == {"1": "complete", "2": "killed", lease.run_id: "running"}


def test_number_of_kept_versions_is_that_of_the_last_run_that_sets_one(tmp_path: Path):
    assert kept_versions(STORAGE, str(tmp_path), None) == []
    for run_id, keep in (("1", 3), ("2", None), ("3", 2)):
        record = RunRecord(STORAGE, str(tmp_path), run_id, settings={"keep_versions": keep})
        record.close("complete", {}, [], {"documents": int(run_id)})
        versions = [{"documents": number} for number in range(int(run_id), 0, -1)]
        assert kept_versions(STORAGE, str(tmp_path), None) == versions[: {"1": 3, "2": 3, "3": 2}[run_id]]
    assert kept_versions(STORAGE, str(tmp_path), 1) == [{"documents": 3}]
    assert kept_versions(STORAGE, str(tmp_path), 0) == []
