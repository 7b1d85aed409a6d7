"""Spelling of labels: only CRAFT's own become the six, others stay."""

import pytest

from craft_ray.concepts.loading import prefixes_by_label
from craft_ray.core.descriptions import descriptions_in, descriptions_of
from craft_ray.core.labels import ONTOLOGY, TAGS, canonical_tags, is_craft
from craft_ray.core.settings import Settings
from craft_ray.model.tags import TagSet
from craft_ray.training.corpora import Corpus
from tests.support.gold import gold


@pytest.mark.parametrize(
    "names",
    [
        *(["GENE"], ["gene"], ["Gene"], ["Chemical", "Gene"]),
        *(["Chemical", "Virus"], ["Gene_or_gene_product", "Cell"], ["protein", "DNA"]),
    ],
)
def test_labels_of_other_models_stay(names: list[str]):
    tags = TagSet.from_id2label(dict(enumerate(["O", *(f"B-{name}" for name in names)])))
    assert tags.names == tuple(names)
    assert set(tags.ontologies) == {None}
    assert descriptions_of(names) == {}


def test_genes_are_no_cellular_components():
    assert canonical_tags(["O", "B-GENE", "I-GENE"]) == ["O", "B-GENE", "I-GENE"]


def test_craft_iob_tags_are_renamed():
    assert canonical_tags(["O", "B-GGP", "I-GGP", "B-SO"]) == ["O", "B-Protein", "I-Protein", "B-Sequence"]
    assert is_craft(["GGP"])


def test_a_subset_of_the_six_labels():
    assert set(descriptions_of(["Cell", "Taxon"])) == {"Cell", "Taxon"}
    of_craft = {"labels": dict(enumerate(TAGS))}
    assert set(descriptions_in(of_craft, ["Gene", "Taxon"])) == {"Gene", "Taxon"}
    of_another = {"labels": {0: "O", 1: "B-Gene", 2: "B-Taxon", 3: "B-Virus"}}
    assert descriptions_in(of_another, ["Gene", "Taxon"]) == {}


def test_a_model_trained_for_genes():
    assert Corpus("genes", [gold("[Pax6|Gene] in mice")]).labels == ("Gene",)
    assert Corpus("craft", [gold("[nuclear|Gene] [genes|Sequence] and [flu|Virus]")]).labels == (
        "Sequence",
        "Gene",
        "Virus",
    )
    assert "Gene" not in prefixes_by_label(Settings(), labels=["Gene"])
    assert prefixes_by_label(Settings(), labels=list(ONTOLOGY))["Gene"] == ("GO",)
