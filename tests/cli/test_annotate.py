"""The end of `craft-ray annotate`."""

import os
from pathlib import Path
from typing import Any

import pytest

from craft_ray.annotation.account import Account, summarize
from craft_ray.cli.annotate import _annotated_nothing, _rejected
from craft_ray.cli.console import console
from craft_ray.cli.summaries import print_summary
from craft_ray.tables.lease import hold_lease
from tests.support.outputs import STORAGE


def summary(broken: int = 0, **documents: int) -> dict[str, Any]:
    """The summary of a run, with some counts."""
    found = summarize(Account()) | {"model": {}, "tables": {}, "status": "partly_rejected"}
    found["documents"] |= documents
    found["shards"]["unreadable"] = broken
    found["rejected"] = {"bad_json": found["documents"]["rejected"]}
    return found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (summary(rejected=12), True),
        (summary(broken=1, rejected=1), True),
        (summary(broken=1, unchanged=1), True),  # an old broken shard
        (summary(broken=1, unchanged=2), False),
        (summary(rejected=1, annotated=1), False),
        (summary(rejected=1, deleted=1), False),
        (summary(rejected=1, unchanged=30), False),
    ],
)
def test_annotated_nothing(found: dict, expected: bool):
    assert _annotated_nothing(found) is expected


def test_rejected_error():
    assert str(_rejected(summary(rejected=12), True)) == (
        "nothing was annotated: 12 documents were rejected (bad_json 12) and 0 shards are broken"
    )
    assert str(_rejected(summary(rejected=1, broken=1), False)) == (
        "1 document was rejected (bad_json 1) and 1 shard is broken"
    )


def test_summary_notes(capsys: pytest.CaptureFixture[str]):
    counts = {"entities": {"Cell": 3}, "with_id": {"Cell": 2}, "left_out": {"Cell": 1, "Taxon": 5}}
    print_summary(console(), summary(found=9, superseded=2) | counts | {"titles_alone": 3})
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "found" in line and line.rstrip().endswith("3 with a title alone")]
    assert [line for line in lines if "superseded" in line and "--id-prefix shard" in line]
    left_out = [line.split()[1:3] for line in lines if "left out" in line]
    assert left_out == [["Cell", "3"], ["Taxon", "0"]]
    assert any("2 with an id; 1 left out as less sure; cell types" in line for line in lines)
    print_summary(console(), summary(found=9, deleted=1, superseded=1))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "superseded" in line]
    assert line.rstrip().endswith("1  a later file revises or deletes them")
    print_summary(console(), summary(found=9))
    assert not {"title", "--id-prefix"} & set(capsys.readouterr().out.split())


def test_busy_output(command, tmp_path: Path):
    (tmp_path / "a.txt").write_text("A mouse.")
    with hold_lease(STORAGE, str(tmp_path / "out")) as lease:
        done = command("annotate", tmp_path / "a.txt", "-o", tmp_path / "out", "--model", "stand-in", "--json")
    assert (done.code, done.summary["status"]) == (4, "busy")
    assert f"another run is at work on this output: {lease.run_id}, process {os.getpid()}" in done.stderr
    assert not (tmp_path / "out" / "documents").exists()
