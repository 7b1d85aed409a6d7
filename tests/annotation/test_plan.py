"""The shards that a run reads."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from craft_ray.annotation.plan import any_changed, plan_shards
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Listing, Shard
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE

CHECKPOINT = load_checkpoint("stand-in")
SHARD = Shard("in/a.xml", 100, "etag")


def read_again(output: Path, listed: Shard, settings: Settings | None = None, **finished: object) -> bool:
    """True if a shard is read in a run after one that finished it so."""
    tables = Tables(STORAGE, str(output))
    _, _, signature, _ = plan_shards(tables, SHARDS.empty_table(), Listing([], []), CHECKPOINT, Settings(), 0.0)
    row = {"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag, "signature": signature, "found": 3}
    held = pa.Table.from_pylist([row | finished], schema=SHARDS)
    account, known, _, _ = plan_shards(tables, held, Listing([listed], []), CHECKPOINT, settings or Settings(), 0.0)
    read = bool(account.shards)
    assert account.known == ((0, 0) if read else (1, 3))
    assert not read or account.shards[0].number == known.number[listed.name]
    return read


def test_a_shard_that_was_read_whole_is_not_read_again(tmp_path: Path):
    assert not read_again(tmp_path, SHARD)


@pytest.mark.parametrize("changed", [{"size": 101}, {"tag": "another"}, {"name": "in/b.xml"}])
def test_a_shard_whose_size_tag_or_name_has_changed_is_read(tmp_path: Path, changed: dict[str, object]):
    assert read_again(tmp_path, replace(SHARD, **changed))
    held = pa.Table.from_pylist([{"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag}], schema=SHARDS)
    assert any_changed([replace(SHARD, **changed)], held)
    assert not any_changed([SHARD], held)


@pytest.mark.parametrize(
    "finished",
    [
        {"reason": "unreadable"},
        {"reason": "failed"},
        {"reason": "bad_gzip", "signature": "of an earlier version"},
        {"signature": "of another model"},
        {"signature": None},
    ],
)
def test_a_shard_that_failed_by_chance_or_would_be_read_in_another_way_is_read(
    tmp_path: Path, finished: dict[str, object]
):
    assert read_again(tmp_path, SHARD, **finished)


def test_a_shard_whose_content_is_broken_is_not_opened_again_and_still_counted_as_broken(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    _, _, signature, _ = plan_shards(tables, SHARDS.empty_table(), Listing([], []), CHECKPOINT, Settings(), 0.0)
    row = {"shard": SHARD.name, "size": SHARD.size, "tag": SHARD.tag, "signature": signature, "found": 3}
    held = pa.Table.from_pylist([row | {"reason": "bad_xml", "detail": "it ends early"}], schema=SHARDS)
    assert not any_changed([SHARD], held)
    account, _, _, _ = plan_shards(tables, held, Listing([SHARD], []), CHECKPOINT, Settings(), 0.0)
    assert not account.shards
    assert account.status == "partly_rejected"
    summary = account.summary()
    assert summary["adds_up"]
    assert summary["documents"]["unchanged"] == 3
    assert summary["shards"] == {
        "found": 1,
        "known": 0,
        "read": 0,
        "unreadable": 1,
        "broken": {SHARD.name: "bad_xml: it ends early"},
        "cut_short": 0,
        "passed_over": [],
        "files_passed_over": 0,
    }


def test_a_shard_is_read_where_its_format_is_set_otherwise(tmp_path: Path):
    assert read_again(tmp_path, SHARD, Settings(format="pubmed"))
