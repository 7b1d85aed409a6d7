"""The commit protocol on disk: pairs in step, replaced rows, fencing, injection, nothing left lying."""

import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.labels import TagSet
from craft_ray.core.schema import SHARDS
from craft_ray.tables import identity
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, all_of, block, rows

HOSTILE = "it's; DROP \"x\" \\' OR 1=1 --"


def test_appended_documents_are_read_back_by_any_reader(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"))])
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon"), ("b", "rat", "Taxon")]
    assert rows(tmp_path, "documents") == [("a", "annotated", 1), ("b", "annotated", 1)]
    plain = duckdb.sql(f"SELECT doc_id, mention, label FROM read_parquet('{tmp_path}/entities/*/*.parquet') ORDER BY 1")
    assert plain.fetchall() == rows(tmp_path, "entities")
    assert tables.counts() == {"entities": 2, "documents": 2}


def test_a_revision_replaces_all_rows_of_its_document_and_no_others(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"), (HOSTILE, "yeast"))])
    new = block(tmp_path, ("a", "human"), (HOSTILE, "worm"), ("c", "fly"), shard=1)
    tables.replace([new], [all_of(new)])
    assert rows(tmp_path, "entities") == sorted(
        [("a", "human", "Taxon"), ("b", "rat", "Taxon"), ("c", "fly", "Taxon"), (HOSTILE, "worm", "Taxon")]
    )
    assert len(rows(tmp_path, "documents")) == 4


def test_labels_of_other_checkpoints_may_hold_anything(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "HeLa"), tags=TagSet.from_id2label({0: "O", 1: "B-cell line/kind 100%"}))])
    assert rows(tmp_path, "entities") == [("a", "HeLa", "cell line/kind 100%")]
    new = block(tmp_path, ("a", "mouse"), shard=1)
    tables.replace([new], [all_of(new)])
    tables.finish(compact=True)
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon")]


def test_a_deletion_leaves_a_deleted_row_and_no_entity(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"))])
    gone = block(tmp_path, ("a", ""), ("z", ""), status="deleted", shard=1)
    tables.replace([gone], [all_of(gone)])
    assert rows(tmp_path, "entities") == [("b", "rat", "Taxon")]
    assert rows(tmp_path, "documents") == [("a", "deleted", 0), ("b", "annotated", 1), ("z", "deleted", 0)]


def test_of_revisions_that_arrive_together_the_best_is_kept(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"))])
    staged = [block(tmp_path, ("a", mention), shard=shard) for shard, mention in [(2, "two"), (3, "three"), (1, "one")]]
    assert tables.replace(staged, [all_of(s) for s in staged]) == 1
    assert rows(tmp_path, "entities") == [("a", "three", "Taxon")]
    assert tables.written_by("run") == ({"annotated": 1}, {}, {"Taxon": 1})
    assert tables.replace(staged, [~all_of(s) for s in staged]) == 0
    assert rows(tmp_path, "entities") == [("a", "three", "Taxon")]


def test_a_run_that_died_between_the_two_commits_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"), ("b", "rat"))])
    new = block(tmp_path, ("a", "human"), ("c", "fly"), shard=1)

    write = Tables._write_over

    def dies(self, table, *rest):
        if "documents" in table.table_uri:
            raise KeyboardInterrupt
        write(self, table, *rest)

    monkeypatch.setattr(Tables, "_write_over", dies)
    with pytest.raises(KeyboardInterrupt):
        tables.replace([new], [all_of(new)])
    monkeypatch.undo()
    assert rows(tmp_path, "entities") != [("a", "mouse", "Taxon"), ("b", "rat", "Taxon")]

    again = Tables(STORAGE, str(tmp_path))
    assert rows(tmp_path, "entities") == [("a", "mouse", "Taxon"), ("b", "rat", "Taxon")]
    again.replace([new], [all_of(new)])
    assert rows(tmp_path, "entities") == [("a", "human", "Taxon"), ("b", "rat", "Taxon"), ("c", "fly", "Taxon")]
    assert rows(tmp_path, "documents") == [("a", "annotated", 1), ("b", "annotated", 1), ("c", "annotated", 1)]


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
    """What a handle has read of another's commits, Delta no longer takes for a conflict."""
    earlier = Tables(STORAGE, str(tmp_path))
    Tables(STORAGE, str(tmp_path))
    for table in (earlier._entities, earlier._documents, earlier._shards):
        table.update_incremental()
    for write in (
        lambda: earlier.append([block(tmp_path, ("b", "rat"))]),
        lambda: earlier.record_finished(finished("run1", a=1)),
    ):
        with pytest.raises(RunError, match="another run has taken over"):
            write()
    assert rows(tmp_path, "documents") == []


def test_a_commit_whose_acknowledgement_is_lost_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tables = Tables(STORAGE, str(tmp_path))
    add = Tables._add

    def unacknowledged(self, *arguments):
        add(self, *arguments)
        raise CommitFailedError("412: the precondition does not hold")

    monkeypatch.setattr(Tables, "_add", unacknowledged)
    tables.append([block(tmp_path, ("a", "mouse"))])
    tables.append([block(tmp_path, ("b", "rat"))])
    assert rows(tmp_path, "documents") == [("a", "annotated", 1), ("b", "annotated", 1)]


def test_a_commit_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tables = Tables(STORAGE, str(tmp_path))

    def failing(self, *arguments):
        raise OSError("disk full")

    monkeypatch.setattr(Tables, "_add", failing)
    with pytest.raises(RunError, match=r"cannot write the tables .*disk full"):
        tables.append([block(tmp_path, ("a", "mouse"))])


def test_after_settling_the_files_are_exactly_the_snapshot(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    for i in range(5):
        tables.append([block(tmp_path, (f"a{i}", "mouse"))])
    block(tmp_path, ("orphan", "staged and never committed"))
    new = block(tmp_path, ("a1", "human"), shard=1)
    tables.replace([new], [all_of(new)])
    tables.finish(compact=True)
    for name in ("entities", "documents"):
        files = {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*.parquet")}
        snapshot = DeltaTable(str(tmp_path / name)).file_uris()
        assert files == {str(Path(uri).relative_to(tmp_path / name)) for uri in snapshot}
        assert len(files) == 1
    assert len(rows(tmp_path, "documents")) == 5


def test_what_is_known_is_what_was_committed(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"))])
    known = Tables(STORAGE, str(tmp_path)).known(["shard9"], SHARDS.empty_table())
    assert known.number == {"shard0": 0, "shard9": 1}
    assert known.ledger.holds(identity.id_hash("a"))
    assert not known.ledger.holds(identity.id_hash("b"))


def finished(run_id: str, **shards: int) -> pa.Table:
    rows = [{"shard": name, "found": found, "run_id": run_id} for name, found in shards.items()]
    return pa.Table.from_pylist(rows, schema=SHARDS)


def test_of_a_shard_the_last_row_counts(tmp_path: Path):
    tables = Tables(STORAGE, str(tmp_path))
    tables.record_finished(finished("run1", a=1, b=1))
    tables.record_finished(finished("run2", a=2, c=2))
    for settled in (False, True):
        if settled:
            tables.finish(compact=True)
        finished_shards = tables.finished_shards()
        assert dict(zip(finished_shards["shard"].to_pylist(), finished_shards["found"].to_pylist(), strict=True)) == {
            "a": 2,
            "b": 1,
            "c": 2,
        }
    assert DeltaTable(str(tmp_path / "shards")).to_pyarrow_table().num_rows == 3


def test_shards_without_their_documents_are_a_bad_setting(tmp_path: Path):
    """Else a run would pass over all input and call it known."""
    tables = Tables(STORAGE, str(tmp_path))
    tables.append([block(tmp_path, ("a", "mouse"))])
    tables.record_finished(finished("run1", a=1))
    for name in ("entities", "documents"):
        shutil.rmtree(tmp_path / name)
    with pytest.raises(SettingsError, match=r"shards .* knows more than documents"):
        Tables(STORAGE, str(tmp_path))
    shutil.rmtree(tmp_path / "shards")
    for name in ("entities", "documents"):
        shutil.rmtree(tmp_path / name)
    Tables(STORAGE, str(tmp_path))


def test_a_table_of_another_kind_is_a_bad_setting(tmp_path: Path):
    DeltaTable.create(str(tmp_path / "entities"), pa.schema([("x", pa.string())]))
    with pytest.raises(SettingsError, match="a table of another kind"):
        Tables(STORAGE, str(tmp_path))
