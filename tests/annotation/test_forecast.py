"""Dry runs: which shards would be read and why, and how many documents."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from craft_ray.annotation.catalogue.file_states import FileStates
from craft_ray.annotation.forecast import forecast, reasons_to_read
from craft_ray.annotation.inputs import Inputs
from craft_ray.cli.app import app
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import load_settings
from craft_ray.storage.shards import Listing, files_table
from tests.conftest import SAMPLE


def test_reasons_to_read():
    rows = [
        {"shard": "whole"},
        {"shard": "broken", "reason": "bad_gzip"},
        {"shard": "unreadable", "reason": "unreadable"},
        {"shard": "failed", "signature": None},
        {"shard": "other", "signature": "another"},
        {"shard": "grown"},
        {"shard": "gone"},
    ]
    common = dict.fromkeys(SHARDS.names) | {"size": 10, "tag": "a", "signature": "same", "found": 5}
    before = pa.Table.from_pylist([common | row for row in rows], SHARDS)
    sizes = dict.fromkeys(("new", "whole", "broken", "unreadable", "failed", "other"), 10) | {"grown": 11}
    listing = Listing(files_table((name, size, "a", 0, "") for name, size in sizes.items()))
    why = reasons_to_read(FileStates.of(listing, before.to_batches()), "same").tolist()
    assert dict(zip(sizes, why, strict=True)) == {
        "new": "new",
        "whole": "up to date",
        "broken": "up to date",
        "unreadable": "unreadable before",
        "failed": "to be tried again",
        "other": "read with another model, version or settings",
        "grown": "changed",
    }


def test_documents_are_counted(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": n, "text": "Pax6 in mice."}) + "\n" for n in range(7)))
    output = tmp_path / "out"
    expected = forecast(Inputs([str(tmp_path / "a.jsonl")]), str(output), load_settings(model="stand-in"))
    assert expected["documents_expected"] == 7
    assert expected["shards"] == {"found": 1, "to_read": 1, "why": {"new": 1}, "files_passed_over": 0}
    assert not output.exists()


def test_documents_of_large_shards_are_estimated_from_the_first(tmp_path: Path):
    lines = [json.dumps({"id": f"{n:06}", "text": "Pax6 in mice. " * (n % 200)}) for n in range(5000)]
    for name, compress in (("a.jsonl", bytes), ("b.jsonl.gz", gzip.compress)):
        (tmp_path / name).write_bytes(compress("\n".join(lines).encode()))
        expected = forecast(Inputs([str(tmp_path / name)]), str(tmp_path / "out"), load_settings(model="stand-in"))
        assert expected["documents_expected"] == pytest.approx(5000, rel=0.1)


def test_lists_of_files_without_sizes(tmp_path: Path):
    for name in "abcdefgh":
        (tmp_path / f"{name}.jsonl").write_text('{"id": "1", "text": "Pax6 in mice."}\n' * 3)
    (tmp_path / "list").write_text("".join(f"{name}.jsonl\n" for name in "abcdefgh"))
    inputs = Inputs([], inputs_from=str(tmp_path / "list"))
    expected = forecast(inputs, str(tmp_path / "out"), load_settings(model="stand-in"))
    assert (expected["shards"]["to_read"], expected["documents_expected"]) == (8, 24)


def test_a_file_that_cannot_be_read_is_left_to_the_run(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "Pax6 in mice."}\n' * 3)
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "gone.jsonl")
    expected = forecast(Inputs([str(tmp_path)]), str(tmp_path / "out"), load_settings(model="stand-in"))
    # A file of unknown size counts as the average of the others.
    assert (expected["shards"]["to_read"], expected["documents_expected"]) == (2, 6)


def test_the_command_prints_a_table_or_json(tmp_path: Path):
    arguments = ["annotate", str(SAMPLE), "-o", str(tmp_path / "out"), "--dry-run", "--model", "stand-in"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "2 of 2" in done.stdout
    assert "new: " in done.stdout
    expected = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert expected["shards"]["to_read"] == 2
    assert list(tmp_path.iterdir()) == []
