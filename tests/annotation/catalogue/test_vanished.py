"""`--prune`: documents that no file has any more are removed."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import craft_ray
from craft_ray.annotation.catalogue.vanished import ORIGIN, vanished_documents
from craft_ray.annotation.run import annotate
from craft_ray.core.errors import RunError
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import Settings
from craft_ray.storage.shards import Listing, files_table
from craft_ray.tables.writer import Tables
from tests.support.local_run import without_ray
from tests.support.outputs import assert_consistent, document_rows, entity_rows, table
from tests.support.pubmed import citation, deletion, pubmed_file


class Source:
    """A folder of records, and its output."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output = folder / "in", folder / "out"
        self.folder.mkdir()

    def has(self, name: str, **texts: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps({"id": id, "text": text}) + "\n" for id, text in texts.items()))
        return path

    def lacks(self, name: str) -> None:
        (self.folder / name).unlink()

    def run(self, **settings: Any) -> dict[str, Any]:
        summary = craft_ray.annotate(
            str(self.folder),
            str(self.output),
            model="stand-in",
            **{"concepts": False, "prune": True, "max_pruned": 1, **settings},
        )
        documents = summary["documents"]
        assert summary["adds_up"]
        assert documents["found"] == sum(documents.values()) - documents["found"]
        assert_consistent(self.output)
        return summary

    def counts(self, **settings: Any) -> dict[str, int]:
        return {name: n for name, n in self.run(**settings)["documents"].items() if n and name != "found"}

    @property
    def texts(self) -> dict[str, str | None]:
        return {row["doc_id"]: row["text"] for row in document_rows(self.output)}


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    with without_ray():
        yield Source(tmp_path)


def test_vanished_documents_are_removed_and_come_back(source: Source):
    source.has("a.jsonl", a1="A mouse.", a2="A rat.", a3="Yeast.")
    b = source.has("b.jsonl", b1="Yeast.", b2="A worm.").read_bytes()
    assert source.counts() == {"annotated": 5}
    source.lacks("b.jsonl")
    assert source.counts(prune=False) == {"unchanged": 3}
    source.has("a.jsonl", a1="A mouse.", a3="Yeast in mice.")
    assert source.counts() == {"annotated": 1, "deleted": 3, "unchanged": 1}
    assert source.texts == {"a1": "A mouse.", "a3": "Yeast in mice."}
    assert {row[0] for row in entity_rows(source.output)} <= {"a1", "a3"}
    assert table(source.output, "shards")["shard"].to_pylist() == [str(source.folder / "a.jsonl")]
    again = source.run()
    assert (again["status"], again["documents"]["deleted"]) == ("nothing_new", 0)
    (source.folder / "b.jsonl").write_bytes(b)
    assert source.counts() == {"annotated": 2, "unchanged": 2}
    source.lacks("b.jsonl")
    gone = source.run()
    assert (gone["status"], gone["documents"]["deleted"], gone["documents"]["unchanged"]) == ("complete", 2, 2)
    assert list(source.texts) == ["a1", "a3"]


def test_moved_documents_stay(source: Source):
    """To a file whose name sorts before the old one, and to one that sorts after it."""
    source.has("a.jsonl", a1="A mouse.", a2="A rat.")
    source.has("b.jsonl", b1="A mouse.", b2="A rat.")
    source.run()
    source.lacks("a.jsonl")
    source.lacks("b.jsonl")
    source.has("0.jsonl", a1="A mouse.", n1="Yeast.")
    source.has("z.jsonl", b1="A mouse.", n2="Yeast.")
    assert source.counts() == {"annotated": 2, "unchanged": 2, "deleted": 2}
    assert list(source.texts) == ["a1", "b1", "n1", "n2"]
    assert source.counts() == {"unchanged": 4}
    source.lacks("0.jsonl")
    source.lacks("z.jsonl")
    source.has("c.jsonl", c1="A worm.")
    assert source.counts() == {"annotated": 1, "deleted": 4}
    assert list(source.texts) == ["c1"]


def test_another_file_replaces_vanished_documents(source: Source):
    """The other file is read again, since it may hold them."""
    source.has("a.jsonl", x="A mouse.", a1="A rat.")
    source.has("b.jsonl", x="Yeast.", b1="A worm.")
    source.run()
    assert source.texts["x"] == "Yeast."
    assert source.run()["shards"]["known"] == 2, "nothing has vanished that it could hold"
    source.lacks("b.jsonl")
    assert source.counts() == {"annotated": 1, "unchanged": 1, "deleted": 1}
    assert source.texts == {"x": "A mouse.", "a1": "A rat."}


def test_deletions_outlive_their_file(source: Source):
    pubmed_file(source.folder / "n1.xml", citation(1, "Mice"), citation(2, "Rats"))
    pubmed_file(source.folder / "n2.xml", deletion(2, 3))
    source.has("notes.jsonl", note="Yeast.")
    source.run()
    source.lacks("n2.xml")
    assert source.run()["documents"]["deleted"] == 0
    source.lacks("notes.jsonl")
    assert source.run()["documents"]["deleted"] == 1
    assert {row["doc_id"]: row["status"] for row in document_rows(source.output)} == {
        "PMID:1": "annotated",
        "PMID:2": "deleted",
        "PMID:3": "deleted",
    }


def test_a_damaged_file_removes_nothing(source: Source):
    source.has("a.jsonl", a1="A mouse.", a2="A rat.")
    source.has("b.jsonl", b1="Yeast.")
    source.run()
    (source.folder / "a.jsonl").write_bytes(b"\x1f\x8b\x08 no gzip")
    source.lacks("b.jsonl")
    assert source.run()["documents"]["deleted"] == 1
    assert {"a1", "a2"} < set(source.texts)


def test_nothing_is_pruned_while_a_file_cannot_be_read(source: Source, caplog: pytest.LogCaptureFixture):
    """It may hold whatever has vanished."""
    a, _ = source.has("a.jsonl", a1="A mouse."), source.has("b.jsonl", b1="Yeast.")
    source.run()
    listed = source.folder.parent / "list.tsv"  # believed without a look
    settings = Settings(model="stand-in", concepts=False, prune=True, max_pruned=1)
    deleted = []
    for files in ([a, source.folder / "missing.jsonl"], [a]):
        listed.write_text("".join(f"{file}\t9\ttag\n" for file in files))
        deleted.append(annotate([], str(source.output), settings, inputs_from=str(listed))["documents"]["deleted"])
    assert deleted == [0, 2], "b1, and the mark of the missing file"
    assert "nothing was pruned: 1 files could not be read" in caplog.text
    assert list(source.texts) == ["a1"]


def test_the_next_run_completes_a_failed_prune(source: Source, monkeypatch: pytest.MonkeyPatch):
    source.has("a.jsonl", a1="A mouse.")
    b = source.has("b.jsonl", b1="Yeast.").read_bytes()
    source.run()
    source.lacks("b.jsonl")
    for step in ("forget_shards", "remove"):
        with monkeypatch.context() as patched:
            patched.setattr(Tables, step, failing)
            with pytest.raises(RunError, match="the disk is gone"):
                source.run()
        assert list(source.texts) == ["a1", "b1"]
    (source.folder / "b.jsonl").write_bytes(b)  # read again, since its row in `shards` is gone
    assert (source.run()["shards"]["known"], list(source.texts)) == (1, ["a1", "b1"])
    source.lacks("b.jsonl")
    assert source.counts() == {"unchanged": 1, "deleted": 1}
    assert list(source.texts) == ["a1"]


def failing(*_: Any) -> None:
    raise OSError("the disk is gone")


def test_dry_run_counts_vanished_files(source: Source, command: Callable[..., Any]):
    source.has("a.jsonl", a1="A mouse.", x="Yeast.")
    source.has("b.jsonl", b1="A rat.", x="Yeast in mice.")
    source.run()
    source.lacks("b.jsonl")
    dry_run = ["annotate", source.folder, "--output", source.output, "--model", "stand-in", "--dry-run"]
    shards = command(*dry_run, "--prune", "--json").summary["shards"]
    assert shards == {
        "found": 1,
        "to_read": 1,
        "why": {"may hold what is gone from other files": 1},
        "files_passed_over": 0,
        "vanished": 1,
    }
    assert "shards vanished" in command(*dry_run, "--prune").stdout
    assert "vanished" not in command(*dry_run, "--json").summary["shards"]


def test_prune_refuses_incomplete_inputs(source: Source, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    path = source.has("a.jsonl", a1="A mouse.")
    source.run()
    monkeypatch.chdir(source.folder.parent)
    Path("cut.tsv").write_text("in/a.jsonl\t10\nin/b.js")
    Path("gone.txt").write_text("a1\n")
    prune = ["annotate", "-o", source.output, "--model", "stand-in", "--prune"]

    def refused(*arguments: str | Path) -> str:
        done = command(*prune, *arguments)
        assert done.code == 2
        assert done.stderr.count("craft-ray: ") == 1
        assert list(source.texts) == ["a1"]
        return done.stderr.splitlines()[-1]

    assert "setting prune: must be false with a limit, not True (argument)" in refused(source.folder, "--limit", "3")
    assert "the list cut.tsv does not end with a line break" in refused("--inputs-from", "cut.tsv")
    assert "a list from standard input may be cut short" in refused("--inputs-from", "-")
    assert "nothing can be pruned without inputs" in refused("--deleted-from", "gone.txt")
    path.unlink()
    assert "holds no files" in refused(source.folder)


def test_a_missing_folder_removes_nothing(source: Source, command: Callable[..., Any]):
    for name in ("2025/a.jsonl", "2026/b.jsonl"):
        source.has(name, **{f"{name[3]}{number}": "A mouse." for number in range(10)})
    source.run()
    (source.folder / "2026").rename(source.folder.parent / "elsewhere")
    prune = ["annotate", source.folder, "-o", source.output, "--model", "stand-in", "--prune"]
    done = command(*prune)
    assert done.code == 2
    assert "10 of 20 documents are in no file of the inputs any more, and max_pruned is 0.05" in done.stderr
    assert len(source.texts) == 20
    assert command(*prune, "--max-pruned", "0.5").code == 0
    assert len(source.texts) == 10


def scattered(numbers: np.ndarray) -> np.ndarray:
    """Hashes without an order."""
    return (numbers * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)


def test_the_time_does_not_grow_with_kept_documents_per_batch():
    """60 batches against a million kept documents took 43 s of CPU while each batch sorted all of them."""
    batches, size, kept = 60, 16_384, 1_000_000
    listing = Listing(files_table([("in/a.jsonl", 1, "", 0, "")]))
    rows = [
        pa.record_batch(
            {
                "doc_id": [str(batch * size + row) for row in range(size)],
                "shard": pa.array(["in/a.jsonl"] * size),
                "status": pa.array(["annotated"] * size),
            },
            ORIGIN,
        )
        for batch in range(batches)
    ]
    tables = SimpleNamespace(
        documents=SimpleNamespace(iter_batches=lambda columns, size: iter(rows)),
        ids=SimpleNamespace(hashes=lambda doc_ids: scattered(np.array(doc_ids, np.uint64))),
    )
    finished = pa.table({name: pa.nulls(1, SHARDS.field(name).type) for name in SHARDS.names})
    for name, value in (("shard", "in/a.jsonl"), ("run_id", "run")):
        finished = finished.set_column(finished.schema.get_field_index(name), SHARDS.field(name), pa.array([value]))
    found = scattered(np.delete(np.arange(kept, dtype=np.uint64), 7))
    start = time.process_time()
    assert vanished_documents(tables, listing, finished, "run", found) == ["7"]
    assert time.process_time() - start < 15
