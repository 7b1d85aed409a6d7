"""A run that wakes up after another has begun: it is shut out, and removes nothing of the other."""

import os
from pathlib import Path

import pytest

from craft_ray.core.errors import RunError
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, assert_only_the_snapshot, block, finished, rows

MENTIONS = ("mouse", "mouse", "rat", "fly")

EARLIER, LATER = "20260101T000000-00000000", "20260102T000000-00000000"


def test_a_run_that_wakes_up_after_another_has_begun_is_shut_out_of_all_tables(tmp_path: Path):
    earlier = Tables(STORAGE, str(tmp_path))
    later = Tables(STORAGE, str(tmp_path))
    for write in (
        lambda: earlier.append([block(tmp_path, ("b", "rat"))]),
        lambda: earlier.record_finished(finished("run1", a=1)),
    ):
        with pytest.raises(RunError, match="another run has taken over"):
            write()
    later.append([block(tmp_path, ("a", "mouse"))])
    later.append([block(tmp_path, ("c", "fly"))])
    assert rows(tmp_path, "documents") == [("a", "annotated", 1), ("c", "annotated", 1)]


def test_a_run_that_has_seen_another_begin_is_shut_out_as_well(tmp_path: Path):
    """Delta takes for no conflict what a handle has read of another's commits."""
    earlier = Tables(STORAGE, str(tmp_path))
    Tables(STORAGE, str(tmp_path))
    for table in earlier.by_name.values():
        table.delta.update_incremental()
    for write in (
        lambda: earlier.append([block(tmp_path, ("b", "rat"))]),
        lambda: earlier.record_finished(finished("run1", a=1)),
    ):
        with pytest.raises(RunError, match="another run has taken over"):
            write()
    assert rows(tmp_path, "documents") == []


def earlier_run(output: Path) -> Tables:
    """A run that has committed two documents, each with a mouse, in a file of its own."""
    tables = Tables(STORAGE, str(output), EARLIER)
    for name in "ab":
        tables.append([block(output, (name, "mouse"), run_id=EARLIER)])
    return tables


@pytest.mark.parametrize("wakes_at", ["compaction", "vacuum"])
def test_a_run_that_wakes_up_at_its_end_removes_nothing_of_a_later_one(tmp_path: Path, wakes_at: str):
    earlier = earlier_run(tmp_path)
    revised = block(tmp_path, ("b", "mouse"), shard=1, run_id=EARLIER)
    earlier.replace([revised], [all_of(revised)])
    later = Tables(STORAGE, str(tmp_path), LATER)
    later.append([block(tmp_path, ("c", "rat"), run_id=LATER)])
    staged = block(tmp_path, ("d", "fly"), run_id=LATER)
    with pytest.raises(RunError, match="another run has taken over"):
        earlier.finish(compact=wakes_at == "compaction")
    later.append([staged])
    later.finish(compact=True)
    assert rows(tmp_path, "entities") == [
        (name, mention, "Taxon") for name, mention in zip("abcd", MENTIONS, strict=True)
    ]
    assert_only_the_snapshot(tmp_path)


@pytest.mark.parametrize("wakes_at", ["compaction", "replacement"])
def test_a_run_that_wakes_up_when_its_files_are_gone_hears_of_the_later_one(tmp_path: Path, wakes_at: str):
    earlier = earlier_run(tmp_path)
    revised = block(tmp_path, ("b", "rat"), shard=1, run_id=EARLIER)
    Tables(STORAGE, str(tmp_path), LATER).finish(compact=True)
    go_on = earlier.compact if wakes_at == "compaction" else lambda: earlier.replace([revised], [all_of(revised)])
    with pytest.raises(RunError, match="another run has taken over"):
        go_on()
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon"), ("b", "mouse", "Taxon")]


def test_a_file_of_the_tables_that_is_gone_is_an_error_and_no_other_run(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    for name in "ab":
        tables.append([block(tmp_path, (name, "mouse"))])
    for file in tables.documents.files():
        (tmp_path / "documents" / file.path).unlink()
    with pytest.raises(FileNotFoundError):
        tables.compact()


def test_a_run_that_wakes_up_in_its_vacuum_removes_nothing_of_a_later_one(tmp_path: Path):
    """The vacuum's own commit was made when another run began; what lies there now is the other's."""
    earlier = Tables(STORAGE, str(tmp_path), EARLIER)
    earlier.append([block(tmp_path, ("a", "mouse"), run_id=EARLIER)])
    orphan = block(tmp_path, ("z", "never committed"), run_id=EARLIER)
    vacuum = earlier.documents.delta.vacuum
    staged = []

    class Stalls:
        """The table's handle, whose driver stalls between the two steps of a vacuum."""

        def __getattr__(self, name: str) -> object:
            return getattr(delta, name)

        def vacuum(self, **how: object) -> list[str]:
            if how["dry_run"]:
                later = Tables(STORAGE, str(tmp_path), LATER)
                new = block(tmp_path, ("b", "rat"), run_id=LATER)
                later.append([new])
                staged.append((later, block(tmp_path, ("c", "fly"), run_id=LATER)))
            return vacuum(**how)

    delta = earlier.documents.delta
    earlier.documents._delta = Stalls()
    earlier.documents.vacuum(EARLIER)
    ((later, block_),) = staged
    later.append([block_])
    assert [name for name, *_ in rows(tmp_path, "documents")] == ["a", "b", "c"]
    assert not (tmp_path / "documents" / orphan.documents[0].path).exists()


def test_what_another_run_has_left_uncommitted_goes_with_the_next(tmp_path: Path):
    killed = Tables(STORAGE, str(tmp_path), EARLIER)
    killed.append([block(tmp_path, ("a", "mouse"), run_id=EARLIER)])
    block(tmp_path, ("b", "never committed"), run_id=EARLIER)
    rewritten = tmp_path / "entities" / "label=Taxon" / "part-00000-c000.zstd.parquet"
    rewritten.write_bytes(b"what a commit of delta-rs leaves that came to no end")
    os.utime(rewritten, (1, 1))
    Tables(STORAGE, str(tmp_path), LATER).finish(compact=True)
    assert_only_the_snapshot(tmp_path)


def test_a_file_without_a_name_of_ours_that_is_newer_than_the_run_may_be_anothers_and_stays(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path), EARLIER)
    tables.append([block(tmp_path, ("a", "mouse"), run_id=EARLIER)])
    rewriting = tmp_path / "documents" / "part-00000-c000.zstd.parquet"
    rewriting.write_bytes(b"what a later run is about to commit")
    tables.finish(compact=True)
    assert rewriting.exists()
