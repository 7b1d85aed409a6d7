"""The records of runs, as they are shown to those who look at an output."""

from pathlib import Path

from craft_ray.tables.lease import held
from craft_ray.tables.records import RunRecord, kept_versions, last_model, number_kept, runs_of
from tests.support.outputs import STORAGE


def test_a_run_that_did_not_say_how_it_ended_was_killed_unless_it_is_at_work(tmp_path: Path):
    for run_id, ends in (("1", True), ("2", False), ("3", False)):
        record = RunRecord(STORAGE, str(tmp_path), run_id)
        if ends:
            record.close("complete", {}, [], {})
    with held(STORAGE, str(tmp_path), "3", lambda seconds: False, print):
        statuses = {record["run_id"]: record["status"] for record in runs_of(STORAGE, str(tmp_path))}
    assert statuses == {"1": "complete", "2": "killed", "3": "running"}


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
