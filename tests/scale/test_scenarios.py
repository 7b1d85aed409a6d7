"""Every scenario runs, with little input."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.scale import __main__ as main
from tests.scale.harness import app
from tests.scale.runs import citation_file

SMALL = {
    "driver": "--blocks 8 --block-mb 2 --replicas 1 --nodes 1",
    "rate": "--existing 2000 --new 40 --shards 2 --turns 1",
    "citation-file": "--citations 60",
    "revisions": "--existing 2000 --documents 27",
    "ledger": "--documents 2000 --documents 4000 --entries-known 1000",
    "shards": "--shards 300",
    "report": "--millions 1",
    "export": "--millions 1 --format jsonl",
    "compaction": "--millions 1",
    "lexicon": "--names 3000 --mentions 500",
    "ids": f"{__file__} --model stand-in --turns 1",
}


@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_scenario(name: str, tmp_path: Path):
    done = CliRunner().invoke(app, [name, *SMALL[name].split(), "--folder", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) >= 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_large_file_is_read_as_a_stream(tmp_path: Path):
    (measured,) = citation_file(tmp_path, citations=10_000)
    assert 50 < measured["peak_worker_mb"] < 1500
    assert 0 < measured["citations_in_first_commit"] < 10_000


def test_all_scenarios_are_tested():
    assert main.app is app
    assert {command.name for command in app.registered_commands} == SMALL.keys()
