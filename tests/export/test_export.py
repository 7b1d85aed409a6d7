"""Whole exports in this process: what is in them, what is left out, how they fall into shards, what is refused."""

import gzip
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from deltalake import DeltaTable

from craft_ray.core.errors import Interrupted, RunError, SettingsError, StoppedError
from craft_ray.core.settings import Settings
from craft_ray.export.export import export
from craft_ray.export.formats import EXPORTERS, jsonl
from craft_ray.export.formats.record import Collection, Format, Record, Written
from craft_ray.export.manifest import BEGUN, MANIFEST
from craft_ray.export.plan import PartSizes, Selection
from craft_ray.readers import is_shard_name, read_shard
from craft_ray.storage.listing import list_shards
from craft_ray.storage.storage import Storage
from craft_ray.tables.numbers import next_number
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, commit, document_without_text, numbered_document, open_tables, rows

SETTINGS = Settings()
NUMBERS = [17, 3, 11, 2, 19, 5, 7, 13, 29, 23, 0, 31]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Twelve documents in no order, in two commits, with one that was rejected and one that was deleted."""
    folder = tmp_path / "tables"
    commit(folder, [numbered_document(number) for number in NUMBERS[:6]] + [document_without_text("bad", "rejected")])
    commit(folder, [numbered_document(number) for number in NUMBERS[6:]] + [document_without_text("PMID:1", "deleted")])
    return folder


def run(output: Path, destination: Path, format: str = "jsonl", at: str | None = None, **given: Any) -> dict[str, Any]:
    return export(open_tables(output, at), str(destination), format, SETTINGS, with_ray=False, **given)


def read(destination: Path) -> list[dict[str, Any]]:
    """The documents of an export to JSON lines, in order of its shards."""
    content = b"".join(gzip.decompress(path.read_bytes()) for path in sorted(destination.glob("part-*.jsonl.gz")))
    return [json.loads(line) for line in content.splitlines()]


def test_each_annotated_document_is_exported_once_with_its_entities_in_order_of_ids(output: Path, tmp_path: Path):
    manifest = run(output, tmp_path / "out", sizes=PartSizes(documents=5))
    found = read(tmp_path / "out")
    assert [record["id"] for record in found] == [f"PMID:{number:06}" for number in sorted(NUMBERS)]
    entities = [(r["id"], e["mention"], e["label"]) for r in found for e in r["entities"]]
    assert sorted(entities) == rows(output, "entities")
    for record in found:
        expected = numbered_document(int(record["id"][5:]))
        assert (record["text"], record["title"], record["year"]) == tuple(
            expected[n] for n in ("text", "title", "year")
        )
        for entity in record["entities"]:
            assert record["text"][entity["start"] : entity["end"]] == entity["mention"]
            assert entity["score"] == expected["scores"][expected["word_start"].index(entity["start"])]
    assert [(shard["documents"], shard["first"]) for shard in manifest["shards"]] == [
        (5, "PMID:000000"),
        (5, "PMID:000011"),
        (2, "PMID:000029"),
    ]


def test_the_manifest_is_the_account_and_is_what_is_returned(output: Path, tmp_path: Path):
    manifest = run(output, tmp_path / "out", sizes=PartSizes(documents=5))
    assert json.loads((tmp_path / "out" / MANIFEST).read_text()) == manifest
    assert manifest["documents"] == {
        "annotated": 12,
        "exported": 12,
        "filtered": 0,
        "unrepresentable": 0,
        "altered": 0,
        "left_out_rejected": 1,
        "left_out_deleted": 1,
    }
    held = len(rows(output, "entities"))
    assert manifest["entities"] == {"found": held, "exported": held, "filtered": 0, "unrepresentable": 0}
    assert sum(shard["entities"] for shard in manifest["shards"]) == held
    for shard in manifest["shards"]:
        assert (tmp_path / "out" / shard["name"]).stat().st_size == shard["bytes"]
    assert manifest["versions"] == {"entities": 4, "documents": 4}
    assert not (tmp_path / "out" / BEGUN).exists()


@pytest.mark.parametrize("format", list(EXPORTERS))
@pytest.mark.parametrize("packed", [True, False])
def test_every_format_gives_the_same_bytes_again_packed_or_not(output: Path, tmp_path: Path, format: str, packed: bool):
    files = []
    for name in ("first", "second"):
        manifest = run(output, tmp_path / name, format, gzip=packed, sizes=PartSizes(documents=7))
        assert len(manifest["shards"]) == 2
        content = [(tmp_path / name / shard["name"]).read_bytes() for shard in manifest["shards"]]
        files.append([gzip.decompress(part) if packed else part for part in content])
    assert files[0] == files[1]
    assert all(files[0])


def test_the_files_of_an_export_can_be_annotated_again(output: Path, tmp_path: Path):
    run(output, tmp_path / "out", sizes=PartSizes(documents=5))
    listing = list_shards(STORAGE, [str(tmp_path / "out")], is_shard_name)
    assert [Path(shard.name).name for shard in listing.shards()] == [f"part-0000{n}.jsonl.gz" for n in range(3)]
    found = [item for shard in listing.shards() for item in read_shard(STORAGE.open(shard.name), shard.name)]
    assert [(item.doc_id, item.text) for item in found] == [
        (f"PMID:{number:06}", numbered_document(number)["text"]) for number in sorted(NUMBERS)
    ]


def test_labels_scores_ids_and_empty_documents_are_filtered_and_the_account_adds_up(output: Path, tmp_path: Path):
    everything = {(r["id"], e["start"]): e for r in reread(output, tmp_path / "all") for e in r["entities"]}
    proteins = reread(output, tmp_path / "a", Selection(labels=("Protein",)))
    assert {(r["id"], e["start"]) for r in proteins for e in r["entities"]} == {
        place for place, entity in everything.items() if entity["label"] == "Protein"
    }
    high = Selection(min_score=0.74)
    assert {(r["id"], e["start"]) for r in reread(output, tmp_path / "b", high) for e in r["entities"]} == {
        place for place, entity in everything.items() if entity["score"] >= 0.74
    }
    assert 0.74 in {entity["score"] for entity in everything.values()}
    chosen = Selection(doc_ids=("PMID:000003", "PMID:000029", "PMID:none"))
    assert [r["id"] for r in reread(output, tmp_path / "c", chosen)] == ["PMID:000003", "PMID:000029"]
    few = Selection(labels=("Taxon",), min_score=0.9, with_entities=True)
    kept = reread(output, tmp_path / "d", few)
    assert {r["id"] for r in kept} == {
        doc_id for (doc_id, _), e in everything.items() if e["label"] == "Taxon" and e["score"] >= 0.9
    }
    assert 0 < len(kept) < 12


def reread(output: Path, destination: Path, selection: Selection = Selection()) -> list[dict[str, Any]]:  # noqa: B008
    """The files of an export; its account must add up."""
    manifest = run(output, destination, selection=selection, sizes=PartSizes(documents=5))
    documents, entities = manifest["documents"], manifest["entities"]
    found = read(destination)
    assert documents["exported"] == len(found) == 12 - documents["filtered"]
    assert entities["exported"] == sum(len(record["entities"]) for record in found)
    assert entities["found"] == len(rows(output, "entities")) == entities["exported"] + entities["filtered"]
    return found


def test_what_a_format_cannot_hold_is_counted_and_named(output: Path, tmp_path: Path):
    commit(output, [numbered_document(40) | {"doc_id": "a|b"}])
    manifest = run(output, tmp_path / "out", "pubtator")
    assert manifest["documents"]["unrepresentable"] == 1
    assert manifest["documents"]["exported"] == 12
    assert manifest["unrepresentable"] == {
        "reasons": {"its id holds |, a tab or a line break": 1},
        "documents": [{"doc_id": "a|b", "reason": "its id holds |, a tab or a line break"}],
    }
    entities = manifest["entities"]
    assert entities["unrepresentable"] == len([row for row in rows(output, "entities") if row[0] == "a|b"]) > 0
    assert entities["found"] == entities["exported"] + entities["unrepresentable"]


def test_shards_are_no_larger_than_asked_for_in_documents_or_in_text(output: Path, tmp_path: Path):
    one = run(output, tmp_path / "one", sizes=PartSizes(text_bytes=1))
    assert [shard["documents"] for shard in one["shards"]] == [1] * 12
    two = run(output, tmp_path / "two", sizes=PartSizes(text_bytes=12 * 4 + 1))
    assert [shard["documents"] for shard in two["shards"]] == [2] * 6


def test_tables_without_documents_are_an_export_without_shards(tmp_path: Path):
    commit(tmp_path / "tables", [document_without_text("bad", "rejected")])
    manifest = run(tmp_path / "tables", tmp_path / "out")
    assert (manifest["shards"], manifest["documents"]["exported"]) == ([], 0)
    assert (tmp_path / "out" / MANIFEST).exists()


def test_an_earlier_state_is_exported_and_a_run_that_commits_meanwhile_is_not(
    output: Path, tmp_path: Path, monkeypatch
):
    assert run(output, tmp_path / "before", at="2")["documents"]["exported"] == 6
    begun = Storage.check_writable

    def commit_meanwhile(storage: Storage, folder: str) -> None:
        commit(output, [numbered_document(50)])
        begun(storage, folder)

    monkeypatch.setattr(Storage, "check_writable", commit_meanwhile)
    assert run(output, tmp_path / "now")["documents"]["exported"] == 12
    monkeypatch.undo()
    assert run(output, tmp_path / "now")["documents"]["exported"] == 13


def test_entities_whose_documents_are_not_committed_yet_are_not_exported(output: Path, tmp_path: Path):
    """A run commits entities first; killed before their documents, it leaves them for the next to remove."""
    before = rows(output, "entities")
    Tables(STORAGE, str(output)).entities.commit_files(block(output, ("late", "mouse")).entities, next_number(0))
    assert len(rows(output, "entities")) > len(before)
    manifest = run(output, tmp_path / "out")
    assert manifest["versions"] == {"entities": 5, "documents": 5}
    assert sorted((r["id"], e["mention"], e["label"]) for r in read(tmp_path / "out") for e in r["entities"]) == before


def test_a_destination_that_is_no_export_is_refused_unless_told_otherwise(output: Path, tmp_path: Path):
    destination = tmp_path / "mine"
    destination.mkdir()
    (destination / "notes.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty"):
        run(output, destination)
    assert [path.name for path in destination.iterdir()] == ["notes.txt"]
    run(output, destination, overwrite=True)
    assert (destination / "notes.txt").read_text() == "mine"
    assert len(read(destination)) == 12


def test_only_files_of_exports_are_removed_and_the_halves_that_a_killed_one_left(output: Path, tmp_path: Path):
    destination = tmp_path / "shared"
    destination.mkdir()
    others = [f"part-{number:05}.parquet" for number in range(20)] + ["part-00099.csv", ".craft-ray-notes.txt.abc"]
    for name in others:
        (destination / name).write_text("mine")
    run(output, destination, sizes=PartSizes(documents=1), overwrite=True)
    (destination / ".craft-ray-part-00003.jsonl.gz.x1y2").write_text("half")
    run(output, destination, "csv", gzip=False)
    assert sorted(path.name for path in destination.iterdir()) == sorted([*others, MANIFEST, "part-00000.csv"])
    assert all((destination / name).read_text() == "mine" for name in others)


@pytest.mark.parametrize("content", ["mine", "[]", '{"shards": ["../part-00000.csv"]}', '{"shards": 1}'])
def test_what_has_the_name_of_a_manifest_and_is_none_is_refused(output: Path, tmp_path: Path, content: str):
    (tmp_path / "part-00000.csv").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(content)
    with pytest.raises(SettingsError, match="is not what an export writes"):
        run(output, tmp_path / "out")
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == [content]
    assert (tmp_path / "part-00000.csv").read_text() == "mine"


def test_a_rerun_replaces_the_shards_of_an_earlier_export(output: Path, tmp_path: Path):
    run(output, tmp_path / "out", sizes=PartSizes(documents=1))
    run(output, tmp_path / "out", "csv", gzip=False)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MANIFEST, "part-00000.csv"]


@pytest.mark.parametrize("error", [RuntimeError, Interrupted])
def test_an_export_that_breaks_off_leaves_whole_shards_no_manifest_and_is_completed_by_a_rerun(
    output: Path, tmp_path: Path, monkeypatch, error: type[BaseException]
):
    run(output, tmp_path / "out", sizes=PartSizes(documents=4))
    whole = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    make, seen = jsonl.FORMAT.make, []

    def breaking(collection):
        exporter = make(collection)
        add = exporter.add

        def counted(record):
            seen.append(record)
            if len(seen) == 6:
                raise error
            return add(record)

        exporter.add = counted
        return exporter

    monkeypatch.setattr(jsonl, "FORMAT", replace(jsonl.FORMAT, make=breaking))
    with pytest.raises(StoppedError if error is Interrupted else error):
        run(output, tmp_path / "out", sizes=PartSizes(documents=4))
    left = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert sorted(left) == [BEGUN, "part-00000.jsonl.gz"]
    assert left["part-00000.jsonl.gz"] == whole["part-00000.jsonl.gz"]
    monkeypatch.undo()
    run(output, tmp_path / "out", sizes=PartSizes(documents=4))
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == whole


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"format": "word"}, "cannot export to word: choose bioc-xml"),
        ({"selection": Selection(labels=("Disease",))}, "no entities labelled Disease, only Protein, Taxon"),
        ({"at": "7"}, "no version 7"),
    ],
)
def test_what_cannot_be_is_a_bad_setting(output: Path, tmp_path: Path, given: dict[str, Any], sentence: str):
    with pytest.raises(SettingsError, match=sentence):
        run(output, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_no_tables_and_a_destination_within_them_are_bad_settings(output: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match="there are no tables"):
        run(tmp_path / "none", tmp_path / "out")
    with pytest.raises(SettingsError, match="lies within the tables"):
        run(output, output / "documents" / "out")


@pytest.mark.parametrize("format", list(EXPORTERS))
def test_without_texts_in_the_tables_only_formats_that_need_none_are_written(tmp_path: Path, format: str):
    commit(tmp_path / "tables", [numbered_document(number) for number in NUMBERS], keep_text=False)
    if format == "csv":
        assert run(tmp_path / "tables", tmp_path / "out", format)["entities"]["exported"] > 0
        return
    with pytest.raises(SettingsError, match="PMID:000000 is not in the tables"):
        run(tmp_path / "tables", tmp_path / "out", format)
    assert not (tmp_path / "out").exists()


def test_files_of_the_tables_that_are_gone_are_told_in_one_sentence(output: Path, tmp_path: Path, monkeypatch):
    begun = Storage.check_writable

    def lose(storage: Storage, folder: str) -> None:
        for file in (output / "entities").rglob("*.parquet"):
            file.unlink()
        begun(storage, folder)

    monkeypatch.setattr(Storage, "check_writable", lose)
    with pytest.raises(RunError, match="cannot read the tables as they were"):
        run(output, tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_entities_of_no_document_end_the_export(output: Path, tmp_path: Path):
    DeltaTable(str(output / "documents")).delete("doc_id = 'PMID:000011'")
    with pytest.raises(RunError, match="entities of PMID:000011, which is not among the documents"):
        run(output, tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_a_new_format_is_one_file_and_one_line(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file is a module with its FORMAT, the line its name in EXPORTERS; the command then lists it as the others."""

    class Titles:
        def __init__(self, collection: Collection) -> None:
            self.name = collection.name

        def begin(self) -> bytes:
            return f"{self.name}\n".encode()

        def add(self, record: Record) -> Written:
            return Written(f"{record.doc_id}: {len(record.entities)}\n".encode(), len(record.entities))

        def end(self) -> bytes:
            return b"end\n"

    file = ModuleType("craft_ray.export.formats.titles")
    file.FORMAT = Format(Titles, ".titles", needs_text=False)
    monkeypatch.setitem(sys.modules, file.__name__, file)
    monkeypatch.setitem(EXPORTERS, "titles", "titles")
    manifest = run(output, tmp_path / "out", "titles", gzip=False)
    lines = (tmp_path / "out" / "part-00000.titles").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("part-00000", "end")
    assert len(lines) - 2 == manifest["documents"]["exported"]
