"""Concept ids in the tables of an output: columns of `entities`, and the tables `concepts` and `ancestors`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

import craft_ray
from craft_ray import concepts, export
from craft_ray.annotation.concepts import concept_rows, described, write_concepts
from craft_ray.concepts.loading import load_grounder
from craft_ray.core.schema import ANCESTORS, CONCEPT_COLUMNS, CONCEPTS
from craft_ray.core.settings import Settings
from craft_ray.tables.records import RunRecord
from craft_ray.tables.writer import Tables
from tests.support.ontologies import OBO, gene_info, grounder, obo_file
from tests.support.outputs import (
    STORAGE,
    all_of,
    assert_consistent,
    block,
    commit,
    data_files,
    numbered_document,
    table,
)

DOCUMENTS = [numbered_document(n) for n in range(12)]


def mentions(output: Path) -> set[tuple[str, str | None]]:
    return {(row["mention"], row["concept_id"]) for row in table(output, "entities").to_pylist()}


def test_entities_have_concepts(tmp_path: Path):
    by = grounder()
    written = commit(tmp_path, DOCUMENTS, grounder=by)
    write_concepts(Tables(STORAGE, str(tmp_path)), by.lexicon)
    assert_consistent(tmp_path)
    assert mentions(tmp_path) == {
        ("Pax6", "PR:000012318"),
        ("mouse", "NCBITaxon:10090"),
        ("yeast", "NCBITaxon:4932"),
        ("TNF-α", None),
        ("𝛽-actin", None),
    }
    rows = table(tmp_path, "entities").to_pylist()
    assert written.with_id == {
        label: sum(row["label"] == label and row["concept_id"] is not None for row in rows)
        for label in ("Protein", "Taxon")
    }
    assert {row["lexicon"] for row in rows} == {by.lexicon.fingerprint[:16]}


def test_columns_are_null_without_a_lexicon(tmp_path: Path):
    commit(tmp_path, DOCUMENTS)
    assert table(tmp_path, "entities").select(CONCEPT_COLUMNS).drop_null().num_rows == 0


def test_concepts_and_ancestors(tmp_path: Path):
    by = grounder({("yeast", "NCBITaxon:4932"): 1})
    commit(tmp_path, DOCUMENTS, grounder=by)
    tables = Tables(STORAGE, str(tmp_path))
    write_concepts(tables, by.lexicon)
    concepts = table(tmp_path, "concepts").sort_by("id").to_pylist()
    assert [row["id"] for row in concepts] == ["NCBITaxon:10090", "NCBITaxon:4932", "PR:000012318"]
    assert concepts[0] == {"id": "NCBITaxon:10090", "name": "Mus musculus", "ontology": "NCBITaxon", "version": None}
    above = {(row["id"], row["ancestor"], row["distance"]) for row in table(tmp_path, "ancestors").to_pylist()}
    assert above == {(row["id"], row["id"], 0) for row in concepts}
    assert table(tmp_path, "ancestors").cast(ANCESTORS).schema == ANCESTORS
    assert table(tmp_path, "concepts").cast(CONCEPTS).schema == CONCEPTS


NAMES = ("mouse", "yeast", "worm", "fly")
BY = grounder(text=OBO + "".join(f"\n[Term]\nid: NCBITaxon:{n}\nname: {NAMES[n]}\n" for n in (2, 3)))
CHANGES = st.tuples(
    st.sampled_from(["new", "revised", "removed", "compacted"]),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from((*NAMES, "no concept")), min_size=1),
)


@settings(max_examples=15)
@given(st.lists(st.lists(CHANGES, max_size=3), min_size=1, max_size=4))
def test_changed_files_give_the_concepts_of_all_files(runs: list[list[tuple[str, dict[str, str]]]]):
    with TemporaryDirectory() as folder:
        new = 0
        for number, run in enumerate(runs):
            tables = Tables(STORAGE, folder)
            for kind, documents in run:
                named = {f"{name}{new}" if kind == "new" else f"{name}0": text for name, text in documents.items()}
                if kind == "removed":
                    tables.remove(pa.array(sorted(named)))
                elif kind == "compacted":
                    tables.compact()
                else:
                    new += kind == "new"
                    written = block(Path(folder), *named.items(), shard=new, grounder=BY)
                    tables.append([written]) if kind == "new" else tables.replace([written], [all_of(written)])
            write_concepts(tables, BY.lexicon)
            numbers = BY.lexicon.indices(pa.array(sorted(tables.concept_ids()), pa.string()))
            for name, expected in zip(
                ("concepts", "ancestors", "xrefs"), concept_rows(BY.lexicon, numbers), strict=True
            ):
                assert table(folder, name).cast(expected.schema) == expected
            tables.finish(compact=False)
            RunRecord(STORAGE, folder, f"{number}", concepts_in_step=True, lexicon=described(BY.lexicon))


@pytest.mark.integration
def test_run_reads_ids_only_of_its_own_files(local_ray: None, tmp_path: Path):
    terms = {"GO:1": "type", "SO:2": "zebrafish"}  # word pieces that the stand-in labels Function and Sequence
    ontology = obo_file(tmp_path, "".join(f"\n[Term]\nid: {id}\nname: {name}\n" for id, name in terms.items()))
    output = tmp_path / "out"

    def annotate(name: str) -> None:
        file = tmp_path / f"{name}.txt"
        file.write_text(f"We saw {name} there.")
        craft_ray.annotate([file], output, model="stand-in", ontology=(ontology,), compact=False)

    annotate("type")
    (earlier,) = data_files(output / "entities")
    earlier.rename(tmp_path / earlier.name)
    annotate("zebrafish")
    (tmp_path / earlier.name).rename(earlier)
    assert sorted(table(output, "concepts")["id"].to_pylist()) == sorted(terms)
    assert sorted(table(output, "entities")["concept_id"].to_pylist()) == sorted(terms)


def queries_of(package: ModuleType) -> list[str]:
    """The SQL in a room's README."""
    page = Path(str(package.__file__)).parent.joinpath("README.md").read_text()
    return page.split("```sql\n")[1].split("```")[0].split(";")[:2]


def test_joins_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The queries for DuckDB, over mouse and the gene Pax6 of documents that name it."""
    by_mesh, by_gene = queries_of(concepts)
    genes = Path(gene_info(tmp_path, 10090)).rename(tmp_path / "Mus_musculus.gene_info.gz")
    by = load_grounder(Settings(ontology=(obo_file(tmp_path), str(genes))), STORAGE)
    assert by is not None
    commit(tmp_path / "tables", [numbered_document(n, step=2) for n in range(10)], grounder=by)
    write_concepts(Tables(STORAGE, str(tmp_path / "tables")), by.lexicon)
    monkeypatch.chdir(tmp_path)
    mesh = duckdb.sql(by_mesh).fetchall()
    assert ("MESH:D051379", "Mus musculus") in [row[:2] for row in mesh]
    ((gene_id, symbol, description, mentions),) = duckdb.sql(by_gene).fetchall()
    assert (gene_id, symbol, description) == ("NCBIGene:18508", "Pax6", "paired box 6")
    assert mentions > 1


def test_the_knowledge_graph_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    documents = [numbered_document(n, step=2) for n in range(30)]
    commit(tmp_path / "tables", documents, grounder=grounder())
    monkeypatch.chdir(tmp_path)
    for query in queries_of(export):
        duckdb.sql(query)
    nodes, edges = (
        csv.read_csv(name, parse_options=csv.ParseOptions(delimiter="\t")) for name in ("nodes.tsv", "edges.tsv")
    )
    categories = dict(zip(nodes["id"].to_pylist(), nodes["category"].to_pylist(), strict=True))
    assert categories["NCBITaxon:10090"] == "biolink:OrganismTaxon"
    assert categories["PR:000012318"] == "biolink:Protein"
    assert {*edges["subject"].to_pylist(), *edges["object"].to_pylist()} <= set(categories)
    (evidence,) = (
        row["publications"].split("|")
        for row in edges.to_pylist()
        if (row["subject"], row["object"]) == ("NCBITaxon:10090", "PR:000012318")
    )
    texts = {row["doc_id"]: [text.split() for text in row["text"].split("\n")] for row in documents}
    together = {n for n, sentences in texts.items() if any({"Pax6", "mouse"} <= set(words) for words in sentences)}
    assert set(evidence) == together
    assert together
