"""Rewrites of table files on a real Ray, with the same result as in one process, also while a run goes on."""

import json
import logging
from pathlib import Path

import pytest
import ray

import craft_ray
from craft_ray.annotation import rewrites
from craft_ray.annotation.rewrites import BackgroundCompaction, run_on_cluster
from craft_ray.core.connection import ray_session
from craft_ray.core.settings import Settings
from craft_ray.tables import rewriting
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, assert_consistent, assert_only_the_snapshot, block, rows


def nights(output: Path) -> Tables:
    """New documents, then revisions of some, then a compaction."""
    tables = Tables(STORAGE, str(output), "run", run_on_cluster)
    for names in ("ab", "cd", "ef"):
        tables.append([block(output, *((name, f"a mouse of {name}") for name in names))])
    new = [block(output, (name, "human"), shard=1) for name in "ace"]
    tables.replace(new, [all_of(one) for one in new])
    tables.finish(compact=True)
    return tables


@pytest.mark.integration
def test_rewrites_on_the_cluster_and_here_are_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    nights(tmp_path / "here")
    here = []
    monkeypatch.setattr(rewrites, "LOCAL_BYTES", 0)
    monkeypatch.setattr(rewrites, "run_locally", lambda found: here.append(found) or rewriting.run_locally(found))
    with ray_session(Settings()):
        tables = nights(tmp_path / "there")
    assert not any(here)
    for name in ("entities", "documents"):
        assert rows(tmp_path / "there", name) == rows(tmp_path / "here", name)
        assert len(tables.by_name[name].files()) == 1


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rewrites, "LOCAL_BYTES", 0)
    was_there = ray.is_initialized()
    assert nights(tmp_path).counts() == {"entities": 6, "documents": 6}
    assert ray.is_initialized() == was_there, "none is started for it"


RUN = "20260101T000000-00000000"


@pytest.fixture
def tables(local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tables:
    """Tables of four small files each, from which on they are compacted."""
    monkeypatch.setattr(rewrites, "SMALL_FILES", 8)
    tables = Tables(STORAGE, str(tmp_path), RUN)
    for name in "abcd":
        tables.append([block(tmp_path, (name, "mouse"))])
    return tables


def files(tables: Tables) -> list[int]:
    return [len(table.files()) for table in (tables.entities, tables.documents)]


def wait(compaction: BackgroundCompaction) -> None:
    """Wait until a round has ended, but do not commit it."""
    ray.wait([*compaction._running], num_returns=len(compaction._running))


@pytest.mark.integration
def test_round_is_committed_by_a_later_poll(tables: Tables, tmp_path: Path):
    begun = BackgroundCompaction(tables)
    begun.poll()
    tables.append([block(tmp_path, ("e", "rat"))])
    wait(begun)
    assert files(tables) == [5, 5], "nothing is committed before its turn"
    begun.poll()
    assert files(tables) == [2, 2]
    begun.poll()
    begun.finish()
    assert files(tables) == [2, 2], "few files are left alone"
    assert [row[:2] for row in rows(tmp_path, "entities")] == [*((name, "mouse") for name in "abcd"), ("e", "rat")]


@pytest.mark.integration
def test_compaction_of_revised_files_is_discarded(tables: Tables, tmp_path: Path):
    begun = BackgroundCompaction(tables)
    begun.poll()
    new = block(tmp_path, ("b", "human"), shard=1, run_id=RUN)
    tables.replace([new], [all_of(new)])
    begun.finish()
    assert files(tables) == [4, 4], "a merge that holds the old rows is not taken"
    assert [row[1] for row in rows(tmp_path, "entities")] == ["mouse", "human", "mouse", "mouse"]
    assert [row[0] for row in rows(tmp_path, "documents")] == ["a", "b", "c", "d"]
    tables.finish(compact=True)
    assert [row[1] for row in rows(tmp_path, "entities")] == ["mouse", "human", "mouse", "mouse"]
    assert_only_the_snapshot(tmp_path, files=1)


@pytest.mark.integration
def test_failed_compaction_is_repeated_at_the_end(tables: Tables, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "documents" / tables.documents.files()[0].path
    content = path.read_bytes()
    path.write_bytes(b"no Parquet")
    begun = BackgroundCompaction(tables)
    begun.poll()
    begun.finish()
    path.write_bytes(content)
    assert "small files could not be compacted" in caplog.text
    assert files(tables) == [1, 4]
    tables.finish(compact=True)
    assert files(tables) == [1, 1]
    assert len(rows(tmp_path, "documents")) == 4


@pytest.mark.integration
def test_cancelled_round_changes_nothing(tables: Tables):
    begun = BackgroundCompaction(tables)
    begun.poll()
    begun.cancel()
    begun.finish()
    assert files(tables) == [4, 4]


@pytest.mark.integration
@pytest.mark.parametrize("compact", [True, False])
def test_run_compacts_in_the_background(
    compact: bool, local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(rewrites, "SMALL_FILES", 10)
    caplog.set_level(logging.INFO, "craft_ray")
    for number in range(3):
        lines = (json.dumps({"id": f"{number}-{at}", "text": f"Mouse {at} and rat."}) for at in range(20))
        tmp_path.joinpath(f"{number}.jsonl").write_text("\n".join(lines))
    told = craft_ray.annotate(
        [str(file) for file in sorted(tmp_path.glob("*.jsonl"))],
        str(tmp_path / "out"),
        model="stand-in",
        block_mb=0.002,
        compact=compact,
    )
    assert told["documents"]["annotated"] == 60
    assert assert_consistent(tmp_path / "out") == {"annotated": 60}
    assert ("small files compacted" in caplog.text) == compact
