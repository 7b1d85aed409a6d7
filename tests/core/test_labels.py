"""Labels: only CRAFT's own are folded onto the six; every other model and corpus keeps its own."""

import pytest

from craft_ray.core.descriptions import descriptions_of
from craft_ray.core.labels import TagSet, canonical_tags, is_craft


@pytest.mark.parametrize(
    "names", [["GENE"], ["gene"], ["Chemical", "Disease"], ["Gene_or_gene_product", "Cell"], ["protein", "DNA"]]
)
def test_the_labels_of_another_model_stay_as_they_are_and_get_no_ontology(names: list[str]):
    tags = TagSet.from_id2label(dict(enumerate(["O", *(f"B-{name}" for name in names)])))
    assert tags.names == tuple(names)
    assert set(tags.ontologies) == {None}
    assert descriptions_of(names) == {}


def test_a_corpus_of_genes_is_not_one_of_cellular_components():
    assert canonical_tags(["O", "B-GENE", "I-GENE"]) == ["O", "B-GENE", "I-GENE"]


def test_the_tags_of_craft_iob_are_folded_however_few_a_file_has():
    assert canonical_tags(["O", "B-GGP", "I-GGP", "B-SO"]) == ["O", "B-Protein", "I-Protein", "B-Sequence"]
    assert is_craft(["GGP"])


def test_tables_that_lack_some_of_the_six_labels_are_still_of_craft():
    assert set(descriptions_of(["Gene", "Taxon"])) == {"Gene", "Taxon"}
