"""A run is foretold: what would be read and why, and nothing is written."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from craft_ray.annotation.finished import Finished
from craft_ray.annotation.forecast import REASONS, forecast, reasons_to_read
from craft_ray.annotation.plan import shard_signature
from craft_ray.cli.app import app
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import load_settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Listing, files_table
from tests.conftest import SAMPLE
from tests.support.models import TOKENIZER


def finished(*rows: dict) -> pa.Table:
    known = dict.fromkeys(SHARDS.names) | {"size": 10, "tag": "a", "signature": "same", "found": 5}
    return pa.Table.from_pylist([known | row for row in rows], SHARDS)


def test_each_shard_to_read_has_a_reason():
    sizes = dict.fromkeys(("new", "whole", "broken", "unreadable", "failed", "other"), 10) | {"grown": 11}
    before = finished(
        {"shard": "whole"},
        {"shard": "broken", "reason": "bad_gzip"},
        {"shard": "unreadable", "reason": "unreadable"},
        {"shard": "failed", "signature": None},
        {"shard": "other", "signature": "another"},
        {"shard": "grown"},
        {"shard": "gone"},
    )
    listing = Listing(files_table((name, size, "a", 0, "") for name, size in sizes.items()), [])
    why = reasons_to_read(Finished.of(listing, before.to_batches()), "same").tolist()
    assert {name: REASONS[reason] for name, reason in zip(sizes, why, strict=True) if reason} == {
        "new": "new",
        "unreadable": "unreadable before",
        "failed": "to be tried again",
        "other": "read with another model, version or settings",
        "grown": "changed",
    }


def test_another_model_and_other_settings_of_reading_are_another_signature():
    embedded, stand_in = load_checkpoint(), load_checkpoint("stand-in")
    signature = shard_signature(embedded, load_settings())
    assert signature == shard_signature(embedded, load_settings(keep_text=False))
    assert signature != shard_signature(stand_in, load_settings())
    assert signature != shard_signature(embedded, load_settings(format="jsonl"))


def test_what_is_expected_of_whole_shards_is_what_they_hold(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": n, "text": "Pax6 in mice."}) + "\n" for n in range(7)))
    told = forecast(
        [str(tmp_path / "a.jsonl")],
        str(tmp_path / "out"),
        load_settings(model="stand-in"),
        replica_speed=10,
        price=36,
    )
    assert told["documents_expected"] == 7
    assert told["tokens_expected"] == 7 * len(TOKENIZER.encode("Pax6 in mice.", add_special_tokens=False).ids)
    assert told["shards"] == {"found": 1, "to_read": 1, "why": {"new": 1}, "files_passed_over": 0}
    assert told["seconds_expected"] == pytest.approx(4.2 / told["plan"]["replicas"])
    assert told["cost_expected"] == pytest.approx(0.04, abs=0.01)
    assert not (tmp_path / "out").exists()


def test_the_command_tells_of_the_sample_in_words_and_as_json(tmp_path: Path):
    arguments = ["annotate", str(SAMPLE), "-o", str(tmp_path / "out"), "--dry-run", "--model", "stand-in"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "2 of 2" in done.stdout
    assert "new: " in done.stdout
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert told["shards"]["to_read"] == 2
    assert told["tokens_expected"] > 300
    assert told["replica_tokens_per_second"] > 0
    assert list(tmp_path.iterdir()) == []
