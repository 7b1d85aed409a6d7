"""From mentions to concepts, step by step."""

import re
from collections.abc import Sequence
from math import exp
from typing import Any

import pyarrow as pa
import pytest

from craft_ray.concepts import grounding
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.rescoring import FEATURES, Rescoring
from craft_ray.core.schema import CONCEPT_COLUMNS, ENTITIES
from tests.support.mentions import mention_table
from tests.support.ontologies import OBO, grounder

GROUNDER = grounder()


def ground(mentions: Sequence[tuple[str, str]], text: str = "", by: Grounder = GROUNDER) -> list[dict[str, Any]]:
    found = by.add_concepts(mention_table(*mentions), [text])
    assert found.select(CONCEPT_COLUMNS).schema.types == [ENTITIES.field(name).type for name in CONCEPT_COLUMNS]
    return found.to_pylist()


@pytest.mark.parametrize(
    ("label", "mention", "concept_id", "match"),
    [
        ("Cell", "neuron", "CL:0000540", "name"),
        ("Cell", "nerve cell", "CL:0000540", "synonym"),
        ("Cell", "Retinal Ganglion-Cell", "CL:0000740", "name folded"),
        ("Cell", "retinal ganglion cells", "CL:0000740", "name singular"),
        ("Cell", "RGC", "CL:0000740", "related"),
        ("Gene", "nuclei", "GO:0005634", "name relaxed"),
        ("Cell", "retinal ganglion", "CL:0000740", "longer head"),
        ("Cell", "neuron cultures", "CL:0000540", "shorter head"),
        ("Protein", "Pax6 protein", "PR:000012318", "shorter head"),
        ("Protein", "PaxVIII", None, None),
        ("Chemical", "AMPA", "CHEBI:34018", "related"),
        ("Taxon", "mouse", "NCBITaxon:10090", "synonym"),
        ("Taxon", "neuron", None, None),
        ("Disease", "neuron", None, None),
        ("Disease", "nephrotic", "MONDO:0005377", "longer head"),
        ("Disease", "H", None, None),
        ("Disease", "kidney dysfunction", "MONDO:0005240", "other head"),
        ("Disease", "renal disorder", "MONDO:0005240", "other head"),
        ("Disease", "G6PD-deficient", "MONDO:0005775", "other head"),
        ("Disease", "schizophrenic", "MONDO:0005090", "noun"),
        ("Disease", "drug-induced nephrotic syndrome", "MONDO:0005377", "qualifier"),
        ("Disease", "sporadic nephrotic syndrome", "MONDO:0005377", "qualifier"),
        ("Disease", "glomerular (G6PD) deficiency", None, None),
        ("Disease", "viral infection", None, None),
        ("Protein", "Pax6/7", "PR:000012318", "enumeration"),
        ("Protein", "a-synuclein", "PR:000014824", "Greek letter"),
        ("Protein", "Apc", None, None),
        ("Cell", "rgc", None, None),
    ],
)
def test_concepts_and_steps(label: str, mention: str, concept_id: str | None, match: str | None):
    (row,) = ground([(label, mention)])
    assert (row["concept_id"], row["concept_match"]) == (concept_id, match)
    assert (row["concept_score"] is None) == (concept_id is None)


def test_document_resolves_mentions():
    text = "Retinal ganglion cells (RGNs) of S. cerevisiae; Saccharomyces at the replication fork. A fork is a fork."
    mentions = [("Cell", "RGNs"), ("Taxon", "S. cerevisiae"), ("Gene", "fork")]
    assert [(row["concept_id"], row["concept_match"]) for row in ground(mentions, text)] == [
        ("CL:0000740", "abbreviation"),
        ("NCBITaxon:4932", "genus"),
        ("GO:0005657", "context"),
    ]
    assert [row["concept_id"] for row in ground(mentions)] == [None] * 3


@pytest.mark.parametrize(
    ("text", "concept_id"),
    [
        ("Kidney disorder (DK): DK is rare.", "MONDO:0005240"),
        ("Nephrotic syndrome (SN): SN is rare.", "MONDO:0005377"),  # and not only `syndrome`
        ("Kidney disorder [DK]: DK is rare.", None),
        ("Kidney disorder (DK", None),
        ("Kidney disorder (DX): DX is rare.", None),  # it has no X
    ],
)
def test_symbol_behind_a_mention_of_its_label(text: str, concept_id: str | None):
    """Schwartz and Hearst want the letters in the order of the long form."""
    long, symbol = re.match(r"(.+?) [(\[](\w+)", text).groups()
    found = [(long, 0), *((symbol, match.start()) for match in re.finditer(symbol, text))]
    table = mention_table(*(("Disease", words) for words, _ in found), start=[start for _, start in found])
    ids = GROUNDER.add_concepts(table, [text])["concept_id"].to_pylist()
    assert ids[0] is not None
    assert ids[1:] == [concept_id] * (len(found) - 1)


def test_of_equal_names_the_broader_concept_is_chosen():
    text = OBO.replace("name: kidney disorder", 'name: kidney disorder\nsynonym: "nephropathy" EXACT []')
    text = text.replace("name: nephrotic syndrome", 'name: nephrotic syndrome\nsynonym: "nephropathy" EXACT []')
    text = text.replace("MONDO:0005377", "MONDO:0000001")  # its id goes first
    (row,) = ground([("Disease", "nephropathy")], by=grounder(text=text))
    assert row["concept_id"] == "MONDO:0005240"
    assert [candidate["id"] for candidate in row["concept_candidates"]] == ["MONDO:0005240", "MONDO:0000001"]


@pytest.mark.parametrize(
    ("mention", "strings", "concept_id", "match"),
    [
        ("RGC", {"CL:0000540": 3, "CL:0000740": 1}, "CL:0000540", "corpus"),
        ("RGC", {"CL:0000540": 2, "CL:0000740": 1}, "CL:0000740", "related"),  # the corpus does not agree with itself
        ("nerve cell", {"CL:0000740": 3}, "CL:0000740", "corpus"),  # of the same lexicon: annotators know more
        ("neuron", {"CL:0000740": 3}, "CL:0000540", "name"),  # the name of another concept
        ("nerve cell", {"CL:0000540": 3}, "CL:0000540", "corpus"),
    ],
)
def test_corpus_takes_precedence_where_it_is_clear(mention: str, strings: dict[str, int], concept_id: str, match: str):
    by = grounder({(mention, id_): count for id_, count in strings.items()})
    (row,) = ground([("Cell", mention)], by=by)
    assert (row["concept_id"], row["concept_match"]) == (concept_id, match)


@pytest.mark.parametrize(
    ("text", "label", "mention", "concept_id"),
    [
        ("Neurons (RGC) were seen.", "Cell", "RGC", "CL:0000740"),  # neither defines it
        ("Rare goblet cells (RGC) were seen.", "Cell", "RGC", None),
        ("Rare ganglion cells (RGC) were seen.", "Cell", "RGC", "CL:0000740"),
        ("Neuron (RGN); an RGN is a neuron", "Cell", "RGN", None),
        ("Nerve cells (NC) and NC in mice", "Cell", "NC", "CL:0000540"),
        ("Mice and NC (nerve cells)", "Cell", "NC", "CL:0000540"),
        ("Mus models (mouse) and the mouse", "Taxon", "mouse", "NCBITaxon:10090"),
        ("Activation of RGC-kappaB, RGC-2 and RGC–α.", "Cell", "RGC", None),
        ("Activation of RGC-kappaB and RGC.", "Cell", "RGC", "CL:0000740"),
        ("RGC-rich and RGC-positive", "Cell", "RGC", "CL:0000740"),
        ("A monitor of user events (mouse) is here.", "Taxon", "mouse", "NCBITaxon:10090"),
    ],
)
def test_document_goes_before_names(text: str, label: str, mention: str, concept_id: str | None):
    (row,) = ground([(label, mention)], text, grounder({("NC", "CL:0000740"): 5}))
    assert row["concept_id"] == concept_id


def test_document_chooses_between_concepts():
    text = OBO.replace('synonym: "RGC" RELATED []', 'synonym: "GC" EXACT []').replace(
        'synonym: "nerve cell" EXACT []', 'synonym: "GC" EXACT []'
    )
    mentions = [("Cell", "GC"), ("Cell", "retinal ganglion cells")]
    alone, *_ = ground(mentions[:1], by=grounder(text=text))
    beside, *_ = ground(mentions, by=grounder(text=text))
    assert (alone["concept_id"], len(alone["concept_candidates"])) == ("CL:0000540", 2)
    assert (beside["concept_id"], beside["concept_candidates"]) == ("CL:0000740", None)


def test_of_equal_names_one_with_cross_references_is_chosen():
    text = "\n[Term]\nid: PR:000000002\nname: synthase\n\n[Term]\nid: PR:000000003\nname: synthase\nxref: MESH:D1\n"
    (row,) = ground([("Protein", "synthase")], by=grounder(text=OBO + text))
    assert (row["concept_id"], len(row["concept_candidates"])) == ("PR:000000003", 2)


@pytest.mark.parametrize("mention", ["mAPCS", "E1A", "thrombin"])
def test_no_letter_is_dropped_or_invented_in_a_symbol(mention: str):
    text = OBO + '\n[Term]\nid: PR:000001661\nname: thrombin receptor\nsynonym: "EIA" EXACT []\n'
    (row,) = ground([("Protein", mention)], by=grounder(text=text))
    assert row["concept_id"] is None


def test_old_ids_of_a_corpus_are_updated():
    (row,) = ground([("Cell", "ganglion")], by=grounder({("ganglion", "CL:0000741"): 1}))
    assert row["concept_id"] == "CL:0000740"


def test_species_specific_protein_is_only_a_candidate():
    (row,) = ground([("Protein", "Pax6")])
    assert row["concept_id"] == "PR:000012318"
    assert [candidate["id"] for candidate in row["concept_candidates"]] == ["PR:000012318", "PR:P63015"]
    assert row["concept_candidates"][0]["score"] == pytest.approx(row["concept_score"])


def test_rescoring_and_min_score():
    scores = pa.array([0.5, 0.9, 0.1], pa.float32())
    scored = mention_table(("Cell", "neuron"), ("Cell", "thing"), ("Virus", "thing"), score=scores)
    weights = dict.fromkeys(FEATURES, 0.0) | {"found by name": 2.0, "found by none": -2.0}
    rescoring = Rescoring(weights, 0.0, {"Cell": 0.3}, {})
    kept, left_out = grounder(rescoring=rescoring).ground(scored, [""])
    known, unknown = 1 / (1 + exp(-2)), 1 / (1 + exp(2))
    assert kept["mention"].to_pylist() == ["neuron", "thing"]
    assert kept["score"].to_pylist() == pytest.approx([known, 0.1])
    assert left_out["score"].to_pylist() == pytest.approx([unknown])
    everything = grounder(rescoring=rescoring, min_score=0.0).ground(scored, [""])
    assert everything.entities["score"].to_pylist() == pytest.approx([known, unknown, 0.1])
    assert everything.left_out.num_rows == 0
    assert grounder(min_score=0.8).ground(scored, [""]).entities["mention"].to_pylist() == ["thing"]


def test_no_mentions():
    assert ground([]) == []


def test_cached_mentions_keep_to_their_document(monkeypatch: pytest.MonkeyPatch):
    texts = ["retinal ganglion cells (RGNs)", "Of the RGNs of yeast fork."]
    mentions = [("Cell", "RGNs"), ("Cell", "neurons"), ("Taxon", "yeasts"), ("Cell", "of thing"), ("Protein", "Pax6")]
    table = mention_table(*mentions, *mentions, row=[0] * len(mentions) + [1] * len(mentions))
    by = grounder()
    first = by.add_concepts(table, texts)
    assert first["concept_id"].to_pylist()[0] == "CL:0000740"
    assert first["concept_id"].to_pylist()[len(mentions)] is None
    assert {key[:2] for key in by.cache} == {*mentions, ("Cell", "retinal ganglion cells")}
    assert by.add_concepts(table, texts).equals(first)
    assert by.add_concepts(table, texts[::-1])["concept_id"].to_pylist()[0] is None
    monkeypatch.setattr(grounding, "CACHE_SIZE", 3)
    assert by.add_concepts(table.slice(0, 2), texts).equals(first.slice(0, 2))
    assert len(by.cache) == 3
