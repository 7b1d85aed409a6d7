"""Genes by the species that a document speaks of."""

import pyarrow as pa
import pytest

from craft_ray.annotation.tagger import Tagger
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon_files import build_lexicon
from craft_ray.concepts.loading import all_prefixes
from craft_ray.concepts.scores import scores_from_counts
from craft_ray.core.descriptions import CRAFT_PREFIXES
from tests.support.ontologies import OBO, gene_info, obo_file
from tests.support.outputs import STORAGE

TAXA = """
[Term]
id: NCBITaxon:40674
name: mammals

[Term]
id: NCBITaxon:10088
name: mice
is_a: NCBITaxon:40674

[Term]
id: NCBITaxon:10114
name: rats
is_a: NCBITaxon:40674

[Term]
id: NCBITaxon:9606
name: human
is_a: NCBITaxon:40674
"""
TEXT = OBO.replace('synonym: "mice" EXACT common_name []', "is_a: NCBITaxon:10088") + TAXA
HUMAN, MOUSE = "NCBIGene:5080", "NCBIGene:18508"


@pytest.fixture(scope="module")
def by(tmp_path_factory: pytest.TempPathFactory) -> Grounder:
    folder = tmp_path_factory.mktemp("genes")
    genes = [gene_info(folder, number) for number in (9606, 10090)]
    lexicon = build_lexicon(STORAGE, [obo_file(folder, TEXT), *genes], all_prefixes(CRAFT_PREFIXES)).lexicon()
    return Grounder(lexicon, scores_from_counts(lexicon.prefixes, {}), CRAFT_PREFIXES)


def genes(by: Grounder, text: str) -> list[str | None]:
    words = text.split()
    label = {
        "rats": "Taxon",
        "yeast": "Taxon",
        "mice": "Taxon",
        "mouse": "Taxon",
        "human": "Taxon",
        "mammals": "Taxon",
        "nuclei": "Gene",
    }
    mentions = {
        "label": [label.get(word, "Protein") for word in words],
        "mention": words,
        "row": [0] * len(words),
        "start": [sum(len(word) + 1 for word in words[:n]) for n in range(len(words))],
    }
    return [one for one in by.add_concepts(pa.table(mentions), [text])["gene_id"].to_pylist() if one]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pax6", [HUMAN]),
        ("mouse Pax6", [MOUSE]),
        ("mice PAX6", [MOUSE]),
        ("mammals Pax6", [HUMAN]),
        ("mouse Pax6 human Pax6", [MOUSE, HUMAN]),
        ("Pax6 mouse human mouse", [MOUSE]),
        ("mouse AN2", [HUMAN]),
        ("rats Pax6 human Pax6", [HUMAN]),
        ("yeast Pax6", [HUMAN]),
        ("mouse nuclei", []),
        ("mouse Sey", [MOUSE]),
        ("human Sey", []),
        ("paired-box-6", [HUMAN]),
    ],
)
def test_the_nearest_species_before_then_the_most_frequent_then_human(by: Grounder, text: str, expected: list[str]):
    assert genes(by, text) == expected


def test_documents_do_not_mix(by: Grounder):
    mentions = {"label": ["Taxon", "Protein"], "mention": ["mouse", "Pax6"], "row": [0, 1], "start": [0, 9]}
    assert by.add_concepts(pa.table(mentions), ["mouse", "Pax6"])["gene_id"].to_pylist() == [None, HUMAN]


def test_gene_names_a_gene_unless_it_has_another_meaning(by: Grounder):
    mentions = {"label": ["Gene"], "mention": ["Pax6"], "row": [0], "start": [0]}
    of_others = Grounder(by.lexicon, by.scores, {"Disease": ("MONDO",)})
    found = [one.add_concepts(pa.table(mentions), [""])["gene_id"].to_pylist() for one in (by, of_others)]
    assert found == [[None], [HUMAN]]


def test_the_model_and_lexicon_that_ship():
    tagger = Tagger.load("craft")
    found = tagger.tag("Human PAX6 is mutated in aniridia. In the mouse, Pax6 is expressed in the developing eye.")
    assert [e.gene_id for e in found if e.mention in ("PAX6", "Pax6")] == [HUMAN, MOUSE]
    assert {e.gene_id for e in found if e.label != "Protein"} == {None}
