"""Shards with rejected documents are marked, so that the next run reads them again though they have not changed."""

from pathlib import Path

import pyarrow as pa
import pytest

from craft_ray.core.errors import OutputBusyError
from craft_ray.core.schema import SHARDS
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.reprocess import mark_for_reprocessing
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, commit, document_without_text, rows


@pytest.fixture
def output(tmp_path: Path) -> str:
    """Four shards, of which the second and the last have a rejected document."""
    for doc_id, shard, reason in (("b", "shard1", "bad_xml"), ("d", "shard3", "failed")):
        commit(tmp_path, [document_without_text(doc_id, "rejected") | {"shard": shard, "reason": reason}])
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), shard=0), block(tmp_path, ("c", "mouse"), shard=2)])
    finished = [
        {"shard": f"shard{n}", "size": 1, "tag": "t", "signature": "s", "found": 1, "run_id": "run"} for n in range(4)
    ]
    tables.record_finished(pa.Table.from_pylist(finished, schema=SHARDS))
    return str(tmp_path)


def signatures(output: str) -> dict[str, str | None]:
    finished = Tables(STORAGE, output).finished_shards()
    return dict(zip(finished["shard"].to_pylist(), finished["signature"].to_pylist(), strict=True))


def test_shards_with_rejected_documents_are_marked(output: str):
    before = rows(Path(output), "documents")
    assert mark_for_reprocessing(STORAGE, output) == ["shard1", "shard3"]
    assert signatures(output) == {"shard0": "s", "shard1": None, "shard2": "s", "shard3": None}
    assert rows(Path(output), "documents") == before


def test_shards_are_selected_by_reason(output: str):
    assert mark_for_reprocessing(STORAGE, output, "too_large") == []
    assert mark_for_reprocessing(STORAGE, output, "failed") == ["shard3"]
    assert signatures(output) == {"shard0": "s", "shard1": "s", "shard2": "s", "shard3": None}


def test_refused_while_a_run_is_at_work(output: str):
    with hold_lease(STORAGE, output), pytest.raises(OutputBusyError):
        mark_for_reprocessing(STORAGE, output)
    assert signatures(output)["shard1"] == "s"
