"""A run that wakes up after another has begun cannot commit, and removes nothing of the other."""

import os
from pathlib import Path

import pytest

from craft_ray.core.errors import RunError
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, assert_only_the_snapshot, block, finished, rows

EARLIER, LATER = "20260101T000000-00000000", "20260102T000000-00000000"


@pytest.mark.parametrize("has_read", [False, True])
def test_commits_of_an_overtaken_run_fail(tmp_path: Path, has_read: bool):
    """Also if its handles have read the later run's commits, which Delta takes for no conflict."""
    earlier = Tables(STORAGE, str(tmp_path))
    later = Tables(STORAGE, str(tmp_path))
    if has_read:
        for table in earlier.by_name.values():
            table.delta.update_incremental()
    for write in (
        lambda: earlier.append([block(tmp_path, ("b", "rat"))]),
        lambda: earlier.record_finished(finished("run1", a=1)),
    ):
        with pytest.raises(RunError, match="another run has taken over"):
            write()
    later.append([block(tmp_path, ("a", "mouse"))])
    later.append([block(tmp_path, ("c", "fly"))])
    assert rows(tmp_path, "documents") == [("a", "annotated", 1), ("c", "annotated", 1)]


def earlier_run(output: Path) -> Tables:
    """A run that has committed two documents, each with a mouse, in a file of its own."""
    tables = Tables(STORAGE, str(output), EARLIER)
    for name in "ab":
        tables.append([block(output, (name, "mouse"), run_id=EARLIER)])
    return tables


@pytest.mark.parametrize("wakes_at", ["compaction", "replacement", "vacuum"])
def test_a_run_that_wakes_up_after_a_takeover(tmp_path: Path, wakes_at: str):
    earlier = earlier_run(tmp_path)
    revised = block(tmp_path, ("b", "rat"), shard=1, run_id=EARLIER)
    Tables(STORAGE, str(tmp_path), LATER).finish(compact=True)
    go_on = {
        "compaction": earlier.compact,
        "replacement": lambda: earlier.replace([revised], [all_of(revised)]),
        "vacuum": lambda: earlier.documents.vacuum(EARLIER),
    }
    with pytest.raises(RunError, match="another run has taken over"):
        go_on[wakes_at]()
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon"), ("b", "mouse", "Taxon")]


def test_missing_file_without_a_takeover(tables: Tables, tmp_path: Path):
    for name in "ab":
        tables.append([block(tmp_path, (name, "mouse"))])
    for file in tables.documents.files():
        (tmp_path / "documents" / file.path).unlink()
    with pytest.raises(FileNotFoundError):
        tables.compact()


def test_uncommitted_files_of_a_killed_run_are_removed(tmp_path: Path):
    killed = Tables(STORAGE, str(tmp_path), EARLIER)
    killed.append([block(tmp_path, ("a", "mouse"), run_id=EARLIER)])
    block(tmp_path, ("b", "never committed"), run_id=EARLIER)
    rewritten = tmp_path / "entities" / "label=Taxon" / "part-00000-c000.zstd.parquet"
    rewritten.write_bytes(b"what a commit of delta-rs leaves that came to no end")
    os.utime(rewritten, (1, 1))
    Tables(STORAGE, str(tmp_path), LATER).finish(compact=True)
    assert_only_the_snapshot(tmp_path)


def test_files_that_a_later_run_is_about_to_commit_stay(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path), EARLIER)
    tables.append([block(tmp_path, ("a", "mouse"), run_id=EARLIER)])
    (staged,) = block(tmp_path, ("b", "rat"), run_id=LATER).documents
    unknown = tmp_path / "documents" / "part-00000-c000.zstd.parquet"
    unknown.write_bytes(b"a file of a rewriting by delta-rs")
    tables.finish(compact=True)
    assert unknown.exists()
    assert (tmp_path / "documents" / staged.path).exists()
