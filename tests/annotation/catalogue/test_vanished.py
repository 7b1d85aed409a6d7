"""Files that are gone from complete sources, files that may hold their documents still, and documents removed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from craft_ray.annotation.catalogue.catalogue import prune
from craft_ray.annotation.catalogue.file_states import FileStates
from craft_ray.annotation.catalogue.vanished import ORIGIN, find_vanished
from craft_ray.core.schema import SHARDS
from craft_ray.storage.shards import Listing, files_table
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, rows


def listing(*names: str) -> Listing:
    return Listing(files_table((name, 1, "", 0, "") for name in names))


def documents(**statuses: list[str]) -> list[pa.RecordBatch]:
    """Rows of `documents`: by shard, the status of each of its documents; a batch per document."""
    found = [(shard, status) for shard, given in statuses.items() for status in given]
    return [
        pa.RecordBatch.from_pylist([{"doc_id": str(number), "shard": shard, "status": status}], schema=ORIGIN)
        for number, (shard, status) in enumerate(found)
    ]


def noted(**shards: dict[str, object]) -> pa.Table:
    """Rows of `shards`, with what is said of each."""
    return pa.Table.from_pylist([{"shard": name, **facts} for name, facts in shards.items()], schema=SHARDS)


def vanished(
    held: list[pa.RecordBatch], listed: Listing, to_read: set[str], finished: pa.Table
) -> tuple[set[str], set[str]]:
    """Names of the files that are gone, and of those that may hold what is missing."""
    marked = np.isin(listed.files["name"].to_pylist(), list(to_read))
    found = find_vanished(held, listed, marked, FileStates.of(listed, finished.to_batches()))
    return set(found.files), {shard.name for shard in listed.shards(found.candidates)}


def test_vanished_files():
    held = documents(here=["annotated"], gone=["annotated", "deleted"], broken=["rejected"], a_list=["deleted"])
    gone, _ = vanished(held, listing("here", "new"), {"new"}, noted())
    assert gone == {"gone", "broken"}


def test_candidates_have_more_documents_than_rows():
    held = documents(gone=["annotated"], whole=["annotated", "rejected"], yet_more=["annotated"], read=["annotated"])
    finished = noted(
        whole={"found": 3, "duplicates": [7]},
        yet_more={"found": 3, "duplicates": [7]},
        read={"found": 9},
        elsewhere={"found": 9},
    )
    _, others = vanished(held, listing("read", "whole", "yet_more"), {"read"}, finished)
    assert others == {"yet_more"}


@pytest.mark.parametrize(("to_read", "others"), [(set(), set()), ({"new"}, set()), ({"known"}, {"more"})])
def test_no_candidates_if_nothing_can_have_vanished(to_read: set[str], others: set[str]):
    """A file that is read again may lack what it had; a new one has nothing to lose."""
    held = documents(known=["annotated"], more=["annotated"])
    listed = listing("known", "more", *to_read)
    assert vanished(held, listed, to_read, noted(more={"found": 2})) == (set(), others)


RUN, EARLIER = "20260102T000000-00000000", "20260101T000000-00000000"


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Documents of six files: `shard0` and `shard2` are read by the run, `shard3` is a list, 4 and 5 are gone."""
    tables = Tables(STORAGE, str(tmp_path), RUN)
    given = [["read_still", "read_no_more"], ["known"], ["broken"], ["listed"], ["z", "moved", "a"], ["b"]]
    blocks = [
        block(
            tmp_path,
            *((name, "" if name == "listed" else "mouse") for name in names),
            shard=number,
            status="deleted" if names == ["listed"] else "annotated",
        )
        for number, names in enumerate(given)
    ]
    tables.append(blocks)
    return tables


def note(tables: Tables, **more: dict[str, object]) -> None:
    """Record the files of the fixture as finished; `more` is said of some."""
    moved = [tables.ids.hash("moved")]
    shards = {
        "shard0": {"run_id": RUN},
        "shard1": {"run_id": EARLIER, "duplicates": moved},
        "shard2": {"run_id": RUN, "reason": "bad_gzip"},
        "shard4": {"run_id": EARLIER},
        "shard5": {"run_id": EARLIER},
    }
    tables.record_finished(noted(**{name: facts | more.get(name, {}) for name, facts in shards.items()}))


def pruned(tables: Tables) -> int:
    given = np.array([tables.ids.hash("read_still")], np.int64)
    return prune(tables, listing("shard0", "shard1", "shard2"), RUN, given, 1)


def test_vanished_documents_are_removed(tables: Tables):
    note(tables)
    assert pruned(tables) == 4
    left = {"read_still", "known", "broken", "listed", "moved"}
    assert {doc_id for doc_id, *_ in rows(Path(tables.output), "documents")} == left
    assert {doc_id for doc_id, *_ in rows(Path(tables.output), "entities")} == left - {"listed"}
    assert set(tables.finished_shards()["shard"].to_pylist()) == {"shard0", "shard1", "shard2"}
    assert pruned(tables) == 0


@pytest.mark.parametrize("reason", ["unreadable", "failed"])
def test_nothing_is_pruned_after_a_transient_failure(tables: Tables, reason: str, caplog: pytest.LogCaptureFixture):
    note(tables, shard1={"reason": reason})
    before = rows(Path(tables.output), "documents")
    assert pruned(tables) == 0
    assert rows(Path(tables.output), "documents") == before
    assert tables.finished_shards().num_rows == 5
    assert "nothing was pruned: 1 files could not be read" in caplog.text


def test_a_vanished_file_that_had_failed(tables: Tables):
    note(tables, shard4={"reason": "unreadable"})
    assert pruned(tables) == 4
