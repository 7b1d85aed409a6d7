"""The records of runs, as those who look at an output are told of them."""

from pathlib import Path

from craft_ray.tables.lease import held
from craft_ray.tables.records import RunRecord, runs_of
from tests.support.outputs import STORAGE


def test_a_run_that_did_not_say_how_it_ended_was_killed_unless_it_is_at_work(tmp_path: Path):
    for run_id, ends in (("1", True), ("2", False), ("3", False)):
        record = RunRecord(STORAGE, str(tmp_path), run_id)
        if ends:
            record.close("complete", {}, [], {})
    with held(STORAGE, str(tmp_path), "3", lambda seconds: False, print):
        statuses = {record["run_id"]: record["status"] for record in runs_of(STORAGE, str(tmp_path))}
    assert statuses == {"1": "complete", "2": "killed", "3": "running"}
