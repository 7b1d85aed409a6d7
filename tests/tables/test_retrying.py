"""Rejected documents are tried again on request, though their files have not changed."""

from pathlib import Path

import pyarrow as pa
import pytest

from craft_ray.core.errors import OutputBusyError
from craft_ray.core.schema import SHARDS
from craft_ray.tables import lease
from craft_ray.tables.retrying import read_again
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, rows


@pytest.fixture
def output(tmp_path: Path) -> str:
    """Three shards, of which the second has a rejected document."""
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), shard=0), block(tmp_path, ("c", "mouse"), shard=2)])
    tables.append([block(tmp_path, ("b", ""), shard=1, status="rejected")])
    finished = [
        {"shard": f"shard{n}", "size": 1, "tag": "t", "signature": "s", "found": 1, "run_id": "run"} for n in range(3)
    ]
    tables.record_finished(pa.Table.from_pylist(finished, schema=SHARDS))
    return str(tmp_path)


def signatures(output: str) -> dict[str, str | None]:
    finished = Tables(STORAGE, output).finished_shards()
    return dict(zip(finished["shard"].to_pylist(), finished["signature"].to_pylist(), strict=True))


def test_only_shards_with_rejected_documents_are_read_again(output: str):
    before = rows(Path(output), "documents")
    assert read_again(STORAGE, output) == ["shard1"]
    assert signatures(output) == {"shard0": "s", "shard1": None, "shard2": "s"}
    assert rows(Path(output), "documents") == before


def test_only_documents_rejected_for_a_reason_are_tried_again(output: str):
    assert read_again(STORAGE, output, "bad_xml") == []
    assert signatures(output) == dict.fromkeys(("shard0", "shard1", "shard2"), "s")


def test_an_output_at_which_a_run_is_at_work_is_left_alone(output: str):
    with (
        lease.held(STORAGE, output, "at work", lambda seconds: False, lambda text: None),
        pytest.raises(OutputBusyError),
    ):
        read_again(STORAGE, output)
    assert signatures(output)["shard1"] == "s"
