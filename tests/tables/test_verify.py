"""`verify` finds what is damaged, and nothing where nothing is."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from craft_ray.core.schema import ANCESTORS, CONCEPTS, DOCUMENTS, ENTITIES, SHARDS, XREFS
from craft_ray.tables.identity import IdHasher
from craft_ray.tables.verify import Check, verify
from craft_ray.tables.writer import Tables
from tests.support.outputs import STORAGE, data_files, document, write_tables


def faults(output: Path, documents: int | None = None) -> dict[str, tuple[int, tuple[str, ...]]]:
    """The number of faults and the examples of each check that has any, by its claim."""
    checks: list[Check] = list(verify(STORAGE, str(output), documents))
    return {check.claim: (check.faults, check.examples) for check in checks if check.faults}


def write_concepts(tables: Tables, *rows: list[dict[str, object]]) -> None:
    schemas = (CONCEPTS, ANCESTORS, XREFS)
    tables.write_concepts(*(pa.Table.from_pylist(some, of) for some, of in zip(rows, schemas, strict=True)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Two documents with two entities, their concepts, and their shard, in two commits of each table."""
    for number, text in enumerate(("Pax6 in the mouse", "𝛽-actin in rats")):
        row, entities = document(f"d{number}", text, ("Protein", text.split()[0]), shard="a.xml", run_id="1")
        write_tables(tmp_path, [row], [entity | {"concept_id": "PR:1"} for entity in entities])
    tables = Tables(STORAGE, str(tmp_path))
    counts = {"found": 3, "emitted": 2, "unchanged": 1, "superseded": 0}
    tables.record_finished(pa.Table.from_pylist([{"shard": "a.xml", "run_id": "1"} | counts], schema=SHARDS))
    concepts = [{"id": "PR:1", "name": "Pax6"}, {"id": "PR:0", "name": "protein"}]
    ancestors = [{"id": "PR:1", "ancestor": "PR:0", "distance": 1}]
    write_concepts(tables, concepts, ancestors, [{"id": "PR:1", "xref": "HGNC:8620"}])
    tables.finish(compact=False)
    return tmp_path


def test_a_sound_output_has_no_faults(output: Path):
    checks = list(verify(STORAGE, str(output)))
    assert [check for check in checks if check.faults] == []
    checked = {check.claim: check.checked for check in checks}
    assert checked["entities: offsets reproduce the mention"] == 2
    assert checked["documents: files are as the log says"] == 2
    assert len(checked) == 26


def first_file(output: Path, table: str) -> Path:
    return min(data_files(output / table))


def test_an_emptied_commit(output: Path):
    commit = max((output / "documents" / "_delta_log").glob("*1.json"))
    commit.write_bytes(b"")
    assert faults(output)["documents: the log is complete"] == (1, (f"{commit.name} is empty",))


def test_a_missing_commit(output: Path):
    (output / "entities" / "_delta_log" / f"{1:020}.json").unlink()
    assert faults(output)["entities: the log is complete"] == (1, ("commit 1 is missing",))


@pytest.mark.parametrize("damage", ["missing", "empty", "same size"])
def test_a_damaged_file(output: Path, damage: str):
    file = first_file(output, "documents")
    size = file.stat().st_size
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(b"" if damage == "empty" else bytes(size))
    ((number, (example,)),) = faults(output).values()
    assert number == 1
    assert example.startswith(file.name)
    expected = {"missing": "is missing", "empty": f"is 0 bytes long, not {size}", "same size": "cannot be read"}
    assert expected[damage] in example


def test_a_file_with_other_rows(output: Path):
    """The log is rewritten to say that a file has three rows."""
    file = first_file(output, "documents")
    for commit in (output / "documents" / "_delta_log").glob("*.json"):
        if file.name in (text := commit.read_text()):
            commit.write_text(re.sub(r'(numRecords\\": ?)1', r"\g<1>3", text))
    assert faults(output)["documents: files are as the log says"] == (1, (f"{file.name} has 1 rows, not 3",))


def test_a_file_beside_the_tables(output: Path):
    stray = first_file(output, "entities").with_name("stray.parquet")
    stray.write_bytes(b"PAR1")
    assert faults(output) == {
        "no file is beside the tables": (1, (str(stray.relative_to(output)),)),
    }


@pytest.mark.parametrize("lost", [["documents"], ["entities", "documents"]])
def test_tables_out_of_step(output: Path, lost: list[str]):
    """Some tables have lost the last pair of commits: its second half, or all but the shards."""
    for name in lost:
        log = sorted((output / name / "_delta_log").glob("*.json"))
        half = next(number for number, path in enumerate(log) if r"\"d1\"" in path.read_text())
        for commit in log[half:]:
            commit.unlink()
    claim = "entities and documents are from the same commit, shards from no later one"
    assert faults(output)[claim][0] == 1


DOCUMENT = {"doc_id": "d9", "status": "annotated", "n_entities": 0, "text": "Mice", "shard": "a.xml"}
ENTITY = {"doc_id": "d0", "label": "Taxon", "mention": "mouse", "start": 12, "end": 17, "sentence_start": 0}
ENTITY |= {"sentence_end": 17, "section": "text", "score": 0.5}


@pytest.mark.parametrize(
    ("table", "row", "claim", "examples"),
    [
        ("documents", DOCUMENT | {"doc_id": "d0", "n_entities": 1}, "documents: no id twice", ("d0",)),
        (
            "documents",
            DOCUMENT | {"n_entities": 2},
            "documents: each has as many entities as it says",
            ("d9: n_entities is 2, and it has 0",),
        ),
        ("entities", ENTITY | {"doc_id": "gone"}, "entities: each is of a document", ("gone",)),
        ("entities", ENTITY | {"start": 11}, "entities: offsets reproduce the mention", ("d0 11:17 mouse",)),
        ("entities", ENTITY | {"sentence_end": 9}, "entities: offsets reproduce the mention", ("d0 12:17 mouse",)),
        ("entities", ENTITY | {"concept_id": "PR:7"}, "entities: each concept is in `concepts`", ("PR:7",)),
        ("entities", ENTITY | {"gene_id": "5080"}, "entities: each gene is of NCBI Gene", ("5080",)),
        ("shards", {"shard": "a.xml", "run_id": "2"}, "shards: none twice", ("a.xml",)),
        (
            "shards",
            {"shard": "b.xml", "found": 3, "emitted": 3, "unchanged": 0, "superseded": 0, "run_id": "zzz"},
            "shards: the documents that they gave are there",
            ("b.xml: it gave 3 documents",),
        ),
        (
            "shards",
            {"shard": "b.xml", "run_id": "2", "duplicates": [IdHasher().hash("gone")]},
            "shards: the documents that others had given before are there",
            ("b.xml: a document is missing",),
        ),
        (
            "shards",
            {"shard": "b.xml", "found": 3, "emitted": 1, "unchanged": 1, "superseded": 0, "run_id": "2"},
            "shards: found = emitted + unchanged + superseded",
            ("b.xml",),
        ),
    ],
)
def test_rows_that_no_run_writes(
    output: Path, table: str, row: dict[str, object], claim: str, examples: tuple[str, ...]
):
    tables = Tables(STORAGE, str(output))
    schema = {"documents": DOCUMENTS, "entities": ENTITIES, "shards": SHARDS}[table]
    tables.by_name[table].append(pa.Table.from_pylist([row], schema=schema), tables.documents.pair)
    assert faults(output)[claim] == (1, examples)


def test_duplicates_of_an_output_without_documents(output: Path):
    """Nothing has the documents that the shards refer to."""
    shards = DeltaTable(str(output / "shards")).to_pyarrow_table()
    column = shards.schema.get_field_index("duplicates")
    duplicates = pa.array([[1]] * len(shards), shards.schema.field(column).type)
    write_deltalake(str(output / "shards"), shards.set_column(column, "duplicates", duplicates), mode="overwrite")
    DeltaTable(str(output / "documents")).delete()
    faults = {check.claim: check.faults for check in verify(STORAGE, str(output))}
    assert faults["shards: the documents that others had given before are there"] == len(shards)


def test_cross_references_of_no_concept(output: Path):
    write_concepts(Tables(STORAGE, str(output)), [{"id": "PR:1"}], [], [{"id": "PR:7", "xref": "HGNC:1"}])
    assert faults(output)["xrefs: each is of a class in `concepts`"] == (1, ("PR:7",))


def test_a_sample_of_documents(output: Path):
    claims = {check.claim: check.checked for check in verify(STORAGE, str(output), documents=1)}
    assert claims["entities: offsets reproduce the mention (a sample)"] == 1


def test_the_command_reports_faults(output: Path, command: Callable[..., object]):
    assert command("verify", output).code == 0
    first_file(output, "documents").unlink()
    done = command("verify", output, "--json")
    assert done.code == 1
    assert json.loads(done.stdout.splitlines()[-1])["faults"] == 1
    assert "1 faults  documents: files are as the log says (2)" in command("verify", output).stdout
