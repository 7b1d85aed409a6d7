"""Ids in the tables of an output: columns, the tables of concepts and of the classes above them, older outputs."""

from pathlib import Path

from craft_ray.annotation.concepts import write_concepts
from craft_ray.core.schema import ANCESTORS, CONCEPT_COLUMNS, CONCEPTS
from craft_ray.tables.writer import Tables
from tests.support.ontologies import grounder
from tests.support.outputs import STORAGE, assert_consistent, commit, numbered_document, table

DOCUMENTS = [numbered_document(n) for n in range(12)]


def mentions(output: Path) -> set[tuple[str, str | None]]:
    return {(row["mention"], row["concept_id"]) for row in table(output, "entities").to_pylist()}


def test_each_mention_has_its_concept_or_null(tmp_path: Path):
    by = grounder()
    written = commit(tmp_path, DOCUMENTS, grounder=by)
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


def test_without_a_lexicon_the_columns_are_null(tmp_path: Path):
    commit(tmp_path, DOCUMENTS)
    assert table(tmp_path, "entities").select(CONCEPT_COLUMNS).drop_null().num_rows == 0


def test_mentions_that_nothing_fits_are_left_out_and_counted_apart(tmp_path: Path):
    every = commit(tmp_path / "all", DOCUMENTS, grounder=grounder())
    written = commit(tmp_path, DOCUMENTS, grounder=grounder(grounded_only=frozenset({"Protein"})))
    assert_consistent(tmp_path)
    assert written.labels + written.left_out == every.labels
    assert set(written.left_out) == {"Protein"}
    assert {mention for mention, _ in mentions(tmp_path)} == {"Pax6", "mouse", "yeast"}


def test_the_concepts_that_occur_have_a_row_and_so_have_the_classes_above(tmp_path: Path):
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
