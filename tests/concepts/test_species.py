"""Genes by the species that a document speaks of."""

import pytest

from craft_ray.annotation.tagger import Tagger
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon_files import build_lexicon
from craft_ray.concepts.loading import all_prefixes
from craft_ray.concepts.scores import scores_from_counts
from craft_ray.core.descriptions import CRAFT_PREFIXES
from tests.support.mentions import mention_table
from tests.support.ontologies import OBO, gene_info, obo_file
from tests.support.outputs import STORAGE

TAXA = "\n[Term]\nid: NCBITaxon:40674\nname: mammals\n" + "".join(
    f"\n[Term]\nid: NCBITaxon:{number}\nname: {name}\nis_a: NCBITaxon:40674\n"
    for number, name in ((10088, "mice"), (10114, "rats"), (9606, "human"))
)
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
    labels = {"nuclei": "Gene"} | dict.fromkeys(("rats", "yeast", "mice", "mouse", "human", "mammals"), "Taxon")
    starts = [sum(len(word) + 1 for word in words[:n]) for n in range(len(words))]
    found = mention_table(*((labels.get(word, "Protein"), word) for word in words), start=starts)
    return [one for one in by.add_concepts(found, [text])["gene_id"].to_pylist() if one]


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
    found = mention_table(("Taxon", "mouse"), ("Protein", "Pax6"), row=[0, 1])
    assert by.add_concepts(found, ["mouse", "Pax6"])["gene_id"].to_pylist() == [None, HUMAN]


def test_gene_names_a_gene_unless_it_has_another_meaning(by: Grounder):
    of_others = Grounder(by.lexicon, by.scores, {"Disease": ("MONDO",)})
    found = [one.add_concepts(mention_table(("Gene", "Pax6")), [""])["gene_id"].to_pylist() for one in (by, of_others)]
    assert found == [[None], [HUMAN]]


def test_the_model_and_lexicon_that_ship():
    tagger = Tagger.load("craft")
    found = tagger.tag("Human PAX6 is mutated in aniridia. In the mouse, Pax6 is expressed in the developing eye.")
    assert [e.gene_id for e in found if e.mention in ("PAX6", "Pax6")] == [HUMAN, MOUSE]
    assert {e.gene_id for e in found if e.label != "Protein"} == {None}
