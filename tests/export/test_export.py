import gzip
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.settings import Settings
from craft_ray.export.export import export
from craft_ray.export.formats import EXPORTERS
from craft_ray.export.formats.record import Exporter, Format, Record, Written
from craft_ray.export.manifest import BEGUN, CARD, MANIFEST
from craft_ray.export.plan import PartSizes, Selection
from craft_ray.export.rows import MAX_BUCKETS
from craft_ray.readers import is_shard_name, read_shard
from craft_ray.storage.listing import list_shards
from craft_ray.tables.numbers import next_number
from craft_ray.tables.output import Output
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, block, commit, document_without_text, numbered_document, open_tables, rows

SETTINGS = Settings()
NUMBERS = [17, 3, 11, 2, 19, 5, 7, 13, 29, 23, 0, 31]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Twelve documents in random order in two commits, one rejected, and one deleted."""
    folder = tmp_path / "tables"
    commit(folder, [numbered_document(number) for number in NUMBERS[:6]] + [document_without_text("bad", "rejected")])
    commit(folder, [numbered_document(number) for number in NUMBERS[6:]] + [document_without_text("PMID:1", "deleted")])
    return folder


def run(tables: Path | Output, destination: Path, format: str = "jsonl", **options: Any) -> dict[str, Any]:
    tables = tables if isinstance(tables, Output) else open_tables(tables)
    return export(tables, str(destination), format, SETTINGS, with_ray=False, **options)


def read(destination: Path) -> list[dict[str, Any]]:
    """The documents of an export to JSON lines."""
    content = b"".join(gzip.decompress(path.read_bytes()) for path in sorted(destination.glob("part-*.jsonl.gz")))
    return [json.loads(line) for line in content.splitlines()]


def test_documents_are_sorted_and_have_their_entities(output: Path, tmp_path: Path):
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
            unit = expected["unit_start"].index(entity["start"])
            assert entity["score"] == expected["scores"][expected["predicted_unit"].index(unit)]
    assert [(shard["documents"], shard["first"]) for shard in manifest["shards"]] == [
        (5, "PMID:000000"),
        (5, "PMID:000011"),
        (2, "PMID:000029"),
    ]


def test_manifest(output: Path, tmp_path: Path):
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
    stored = len(rows(output, "entities"))
    assert manifest["entities"] == {"found": stored, "exported": stored, "filtered": 0, "unrepresentable": 0}
    assert sum(shard["entities"] for shard in manifest["shards"]) == stored
    for shard in manifest["shards"]:
        assert (tmp_path / "out" / shard["name"]).stat().st_size == shard["bytes"]
    assert manifest["versions"] == {"entities": 4, "documents": 4}
    assert not (tmp_path / "out" / BEGUN).exists()


@pytest.mark.parametrize("format", list(EXPORTERS))
def test_bytes_are_reproducible(output: Path, tmp_path: Path, format: str):
    def contents(name: str, compress: bool) -> list[bytes]:
        manifest = run(output, tmp_path / name, format, gzip=compress, sizes=PartSizes(documents=7))
        return [(tmp_path / name / shard["name"]).read_bytes() for shard in manifest["shards"]]

    first = contents("first", compress=True)
    assert contents("second", compress=True) == first
    assert contents("plain", compress=False) == [gzip.decompress(part) for part in first]
    assert len(first) == 2
    assert all(first)


def test_files_can_be_annotated_again(output: Path, tmp_path: Path):
    run(output, tmp_path / "out", sizes=PartSizes(documents=5))
    listing = list_shards(STORAGE, [str(tmp_path / "out")], is_shard_name)
    assert [Path(shard.name).name for shard in listing.shards()] == [f"part-0000{n}.jsonl.gz" for n in range(3)]
    found = [item for shard in listing.shards() for item in read_shard(STORAGE.open(shard.name), shard.name)]
    assert [(item.doc_id, item.text) for item in found] == [
        (f"PMID:{number:06}", numbered_document(number)["text"]) for number in sorted(NUMBERS)
    ]


def test_selections(output: Path, tmp_path: Path):
    everything = {(r["id"], e["start"]): e for r in export_and_read(output, tmp_path / "all") for e in r["entities"]}
    assert 0.74 in {entity["score"] for entity in everything.values()}
    for name, selection, condition in (
        ("label", Selection(labels=("Protein",)), lambda entity: entity["label"] == "Protein"),
        ("score", Selection(min_score=0.74), lambda entity: entity["score"] >= 0.74),
    ):
        found = export_and_read(output, tmp_path / name, selection)
        assert {(r["id"], e["start"]) for r in found for e in r["entities"]} == {
            key for key, entity in everything.items() if condition(entity)
        }
    chosen = Selection(doc_ids=("PMID:000003", "PMID:000029", "PMID:none"))
    assert [r["id"] for r in export_and_read(output, tmp_path / "ids", chosen)] == ["PMID:000003", "PMID:000029"]
    few = Selection(labels=("Taxon",), min_score=0.9, with_entities=True)
    ids = {r["id"] for r in export_and_read(output, tmp_path / "few", few)}
    assert ids == {id for (id, _), e in everything.items() if e["label"] == "Taxon" and e["score"] >= 0.9}
    assert 0 < len(ids) < 12


def export_and_read(output: Path, destination: Path, selection: Selection = Selection()) -> list[dict[str, Any]]:  # noqa: B008
    """Export and read the documents, and check that the account adds up."""
    manifest = run(output, destination, selection=selection, sizes=PartSizes(documents=5))
    documents, entities = manifest["documents"], manifest["entities"]
    found = read(destination)
    assert documents["exported"] == len(found) == 12 - documents["filtered"]
    assert entities["exported"] == sum(len(record["entities"]) for record in found)
    assert entities["found"] == len(rows(output, "entities")) == entities["exported"] + entities["filtered"]
    return found


def test_unrepresentable_documents(output: Path, tmp_path: Path):
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


def test_sizes_of_parts(output: Path, tmp_path: Path):
    one = run(output, tmp_path / "one", sizes=PartSizes(text_bytes=1))
    assert [shard["documents"] for shard in one["shards"]] == [1] * 12
    two = run(output, tmp_path / "two", sizes=PartSizes(text_bytes=12 * 4 + 1))
    assert [shard["documents"] for shard in two["shards"]] == [2] * 6


def test_parts_share_buckets(tmp_path: Path):
    documents = MAX_BUCKETS + 10
    commit(tmp_path / "tables", [numbered_document(number) for number in range(documents)])
    manifest = run(tmp_path / "tables", tmp_path / "out", sizes=PartSizes(documents=1), gzip=False)
    assert [shard["first"] for shard in manifest["shards"]] == [f"PMID:{number:06}" for number in range(documents)]
    assert manifest["entities"]["exported"] == len(rows(tmp_path / "tables", "entities"))


def test_tables_without_documents(tmp_path: Path):
    commit(tmp_path / "tables", [document_without_text("bad", "rejected")])
    manifest = run(tmp_path / "tables", tmp_path / "out")
    assert (manifest["shards"], manifest["documents"]["exported"]) == ([], 0)
    assert (tmp_path / "out" / MANIFEST).exists()


def test_exported_state_is_the_one_that_was_opened(output: Path, tmp_path: Path):
    tables = open_tables(output)
    commit(output, [numbered_document(50)])
    exported = [run(opened, tmp_path / "out")["documents"]["exported"] for opened in (tables, tables.at("2"), output)]
    assert exported == [12, 6, 13]


def test_half_committed_documents_are_not_exported(output: Path, tmp_path: Path):
    """A run commits entities first. If it is killed before it commits their documents, the next run removes them."""
    before = rows(output, "entities")
    Tables(STORAGE, str(output)).entities.commit_files(block(output, ("late", "mouse")).entities, next_number(0))
    assert len(rows(output, "entities")) > len(before)
    manifest = run(output, tmp_path / "out")
    assert manifest["versions"] == {"entities": 5, "documents": 5}
    assert sorted((r["id"], e["mention"], e["label"]) for r in read(tmp_path / "out") for e in r["entities"]) == before


def test_folder_with_other_files(output: Path, tmp_path: Path):
    destination = tmp_path / "mine"
    destination.mkdir()
    (destination / "notes.txt").write_text("mine")
    (destination / CARD).write_text("mine")
    with pytest.raises(SettingsError, match="is not empty"):
        run(output, destination)
    assert {path.name for path in destination.iterdir()} == {"notes.txt", CARD}
    for _ in range(2):
        assert "card" not in run(output, destination, overwrite=True)
    assert {(destination / name).read_text() for name in ("notes.txt", CARD)} == {"mine"}
    assert len(read(destination)) == 12


def test_only_files_of_exports_are_removed(output: Path, tmp_path: Path):
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


def test_card_of_a_dataset(output: Path, tmp_path: Path):
    run(output, tmp_path / "out", gzip=False)
    head = yaml.safe_load((tmp_path / "out" / CARD).read_text().split("---\n")[1])
    features = {feature.pop("name"): feature for feature in head["dataset_info"]["features"]}
    record = json.loads((tmp_path / "out" / "part-00000.jsonl").read_text().splitlines()[0])
    assert features.keys() >= record.keys() - {"journal"}
    for name in ("sections", "entities"):
        columns = {column["name"]: column["dtype"] for column in features[name]["list"]}
        assert list(columns) == list(record[name][0])
    assert columns["label"] == {"class_label": {"names": {"0": "Protein", "1": "Taxon"}}}
    assert list((tmp_path / "out").glob(head["configs"][0]["data_files"]))
    run(output, tmp_path / "out", selection=Selection(labels=("Taxon",)))
    assert "Protein" not in (tmp_path / "out" / CARD).read_text()  # an earlier card of ours is replaced
    run(output, tmp_path / "out", "csv")
    assert not (tmp_path / "out" / CARD).exists()


@pytest.mark.parametrize("content", ["mine", "[]", '{"shards": ["../part-00000.csv"]}', '{"shards": 1}'])
def test_file_named_like_a_manifest(output: Path, tmp_path: Path, content: str):
    (tmp_path / "part-00000.csv").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(content)
    with pytest.raises(SettingsError, match="is not what an export writes"):
        run(output, tmp_path / "out")
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == [content]
    assert (tmp_path / "part-00000.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "word"}, "cannot export to word: choose bioc-xml"),
        ({"selection": Selection(labels=("Disease",))}, "no entities labelled Disease, only Protein, Taxon"),
    ],
)
def test_wrong_arguments(output: Path, tmp_path: Path, options: dict[str, Any], message: str):
    with pytest.raises(SettingsError, match=message):
        run(output, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["documents", "entities", "shards", "concepts", "runs"])
def test_destination_within_the_tables(output: Path, name: str):
    with pytest.raises(SettingsError, match="lies within the tables"):
        run(output, output / name / "out")


@pytest.mark.parametrize("format", list(EXPORTERS))
def test_texts_that_were_not_kept(tmp_path: Path, format: str):
    commit(tmp_path / "tables", [numbered_document(number) for number in NUMBERS], keep_text=False)
    if format == "csv":
        assert run(tmp_path / "tables", tmp_path / "out", format)["entities"]["exported"] > 0
        return
    with pytest.raises(SettingsError, match="PMID:000000 is not in the tables"):
        run(tmp_path / "tables", tmp_path / "out", format)
    assert not (tmp_path / "out").exists()


def test_excel_safe_is_for_csv(output: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match="--excel-safe goes with csv, not with jsonl"):
        run(output, tmp_path / "out", excel_safe=True)
    manifest = run(output, tmp_path / "out", "csv", excel_safe=True)
    assert manifest["excel_safe"]


def test_lost_files(output: Path, tmp_path: Path):
    tables = open_tables(output)
    for file in (output / "entities").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(RunError, match="cannot read the tables as they were"):
        run(tables, tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_entities_without_a_document(output: Path, tmp_path: Path):
    """The earlier export in the folder is gone as well: nobody takes it for this one."""
    run(output, tmp_path / "out")
    DeltaTable(str(output / "documents")).delete("doc_id = 'PMID:000011'")
    with pytest.raises(RunError, match="entities of PMID:000011, which is not among the documents"):
        run(output, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {BEGUN, CARD}


def test_new_format(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Titles(Exporter):
        def begin(self) -> bytes:
            return f"{self.collection.name}\n".encode()

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
