"""Every scenario runs, with little input."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.scale import __main__ as main
from tests.scale.harness import app

SMALL = {
    "driver": "--blocks 8 --block-mb 2 --replicas 1 --nodes 1",
    "revisions": "--existing 2000 --documents 27",
    "ledger": "--documents 2000 --documents 4000 --entries-known 1000",
    "shards": "--shards 300",
    "report": "--millions 1",
    "export": "--millions 1 --format jsonl",
    "compaction": "--millions 1",
}


@pytest.mark.long
@pytest.mark.parametrize("name", SMALL)
def test_scenario(name: str, tmp_path: Path):
    done = CliRunner().invoke(app, [name, *SMALL[name].split(), "--folder", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) >= 1
    assert list(tmp_path.iterdir()) == []


def test_all_scenarios_are_tested():
    assert main.app is app
    assert {command.name for command in app.registered_commands} == SMALL.keys()
