"""Evaluation of concept ids: on gold spans, from raw text, and by the shared task's measure worked out by hand."""

from dataclasses import replace

import pytest

from craft_ray.annotation.tagger import Tagger
from craft_ray.concepts.chain import MATCHES
from craft_ray.concepts.loading import load_grounder
from craft_ray.concepts.scores import length_class, scores_from_counts
from craft_ray.core.descriptions import CRAFT_PREFIXES
from craft_ray.core.settings import Settings
from craft_ray.training.corpora import GoldConcept, GoldDocument
from craft_ray.training.end_to_end import ConceptSpan, evaluate_concepts, shared_task_scores
from craft_ray.training.grounding_evaluation import Corpora, corpus_strings, evaluate_gold_spans, fold_of
from tests.support.ontologies import builder, gene_info, grounder, obo_file
from tests.support.outputs import STORAGE

LEXICON = grounder().lexicon
CELL, NEURON, GENE = LEXICON.indices(["CL:0000000", "CL:0000540", "SO:0000704"]).tolist()
SIMILARITY = (0.65 + 1) / (1.65 + 1)
"""Of neuron and cell."""


def document(number: int, *concepts: tuple[str, str, str]) -> GoldDocument:
    """A text made of mentions, given as words, label and id."""
    text = "; ".join(words for words, _, _ in concepts)
    starts = [text.index(words) for words, _, _ in concepts]
    return GoldDocument(
        str(number),
        text,
        (),
        concepts=tuple(
            GoldConcept(((start, start + len(words)),), label, concept_id)
            for start, (words, label, concept_id) in zip(starts, concepts, strict=True)
        ),
    )


def test_gold_spans_are_cross_validated():
    """`Foo` is in no ontology, so only the other article's strings give it an id; `Bar` occurs in one article."""
    articles = [
        document(0, ("nerve cell", "Cell", "CL:0000540"), ("Foo", "Protein", "PR:000004126")),
        document(1, ("Foo", "Protein", "PR:000004126"), ("Bar", "Cell", "CL:0000000")),
    ]
    figures, both = evaluate_gold_spans(Corpora(articles), builder(), CRAFT_PREFIXES)
    counts = both["CRAFT"]
    assert (figures["mentions"], figures["accuracy"], figures["precision"]) == (4, 0.75, 1.0)
    assert figures["per_label"]["Protein"]["accuracy"] == 1.0
    assert counts["PR"] == {"corpus of 3": [2, 2]}
    assert counts["CL"]["synonym"] == [1, 1]
    names_alone, _ = evaluate_gold_spans(Corpora(articles), builder(), CRAFT_PREFIXES, with_corpus=False)
    assert names_alone["per_label"]["Protein"]["without_id"] == 1.0


def test_ids_of_other_corpora_count_by_cross_references():
    """Gold is MeSH's `Neurons`; `CL:9` is no concept, and `NCBITaxon:4932` another than was found."""
    gold = document(
        0,
        ("neuron", "Cell", "MESH:D009474"),
        ("nerve cell", "Cell", "MESH:D000001|MESH:D009474"),
        ("cell", "Cell", "CL:9"),
        ("mouse", "Taxon", "NCBITaxon:4932"),
    )
    corpora = Corpora([document(1, ("cell", "Cell", "CL:0000000"))], {"some": [gold]})
    figures, counts = evaluate_gold_spans(corpora, builder(), CRAFT_PREFIXES, with_corpus=False)
    cells, taxa = figures["corpora"]["some"]["Cell"], figures["corpora"]["some"]["Taxon"]
    assert (cells["mentions"], cells["accuracy"], cells["without_equivalent"]) == (2, 1.0, 1)
    assert (taxa["mentions"], taxa["accuracy"], taxa["without_equivalent"]) == (1, 0.0, 0)
    assert counts["others"]["some"] == {
        "CL": {"name of 6": [1, 1], "synonym": [1, 1]},
        "NCBITaxon": {"synonym of 6": [0, 1]},
    }


def test_strings_of_other_corpora_give_ids():
    """`axon bearer` is in no ontology, and gold is MeSH's `Neurons`. A text that two corpora have is one text."""
    bearer = ("axon bearer", "Cell", "MESH:D009474")
    one, other = (
        document(0, bearer, ("cell", "Cell", "CL:0000000")),
        document(1, ("neuron", "Cell", "CL:0000540"), bearer),
    )
    corpora = {"one": [one], "same": [replace(one, text=one.text.replace("; ", ";  "))], "other": [other]}
    assert fold_of(one) == fold_of(corpora["same"][0]) != fold_of(other)

    def right(labels: frozenset[str], **kept: list[GoldDocument]) -> float:
        craft = [document(2, ("cell", "Cell", "CL:0000000"))]
        figures, _ = evaluate_gold_spans(Corpora(craft, kept, labels), builder(), CRAFT_PREFIXES)
        return float(figures["corpora"]["one"]["Cell"]["accuracy"])

    assert right(frozenset({"Cell"}), one=corpora["one"], other=corpora["other"]) == 1.0
    assert right(frozenset({"Cell"}), one=corpora["one"], same=corpora["same"]) == 0.5
    assert right(frozenset({"Gene"}), one=corpora["one"], other=corpora["other"]) == 0.5


def test_a_score_holds_in_craft_and_elsewhere():
    in_craft = {"CL": {"name of 6": [96, 96]}, "SO": {"name of 6": [96, 96]}}
    elsewhere = {"one": {"CL": {"name of 6": [48, 96]}}, "other": {"CL": {"name of 6": [996, 996], "noun": [99, 99]}}}
    share = scores_from_counts(["CL", "SO"], in_craft, elsewhere)
    name = MATCHES.index("name")
    assert share[0, name, length_class(6), 0] == pytest.approx(0.518, abs=0.001)
    assert share[1, name, length_class(6), 0] > 0.99
    assert share[0, name, length_class(10), 0] == pytest.approx(0.5)
    assert share[0, MATCHES.index("noun"), length_class(10), 0] > 0.9  # CRAFT has none


def test_strings_of_one_article_alone():
    """A symbol, and an abbreviation that its article defines, say nothing about other articles."""
    neuron, gene = ("Cell", "CL:0000540"), ("Sequence", "SO:0000704")
    first = document(0, ("great neurons (GRNE)", *neuron), ("GRNE", *neuron), ("E2", *gene), ("PCR", *gene))
    second = document(1, ("PCR", *gene), ("giant neuron", *neuron))
    assert set(corpus_strings([first, second])) == {
        ("great neurons (GRNE)", "CL:0000540"),
        ("giant neuron", "CL:0000540"),
        ("PCR", "SO:0000704"),
    }


def test_ids_from_raw_text(craft_iob):
    by = grounder()
    mouse = "NCBITaxon:10090"
    gold = [document(0, ("The mouse eye", "Taxon", mouse)), document(1, ("mice", "Taxon", mouse))]
    scores = evaluate_concepts(Tagger(craft_iob, grounder=by).tag_documents, by.lexicon, gold)
    assert (scores["span"]["support"], scores["id"]["f1"]) == (2, scores["span"]["f1"])
    taxon = scores["per_label"]["Taxon"]
    assert taxon["id"]["recall"] == 0.5  # of the first mention only a part is found
    assert taxon["shared_task"]["recall"] == pytest.approx((5 / 13 + 1) / 2)
    assert taxon["without_id"] == 0
    assert (taxon["linked"], taxon["no_equivalent"]) == (1.0, 0)
    elsewhere = [document(0, ("The mouse eye", "Taxon", "X:1")), document(1, ("mice", "Taxon", "MESH:D051379"))]
    assert evaluate_concepts(Tagger(craft_iob, grounder=by).tag_documents, by.lexicon, elsewhere)["id"] == scores["id"]


def test_genes_from_raw_text(craft_iob, tmp_path):
    files = [obo_file(tmp_path), *(gene_info(tmp_path, taxon) for taxon in (9606, 10090))]
    by = load_grounder(Settings(ontology=tuple(files)), STORAGE)
    text, other = "Pax6 of the mouse", "PAX6 of Homo"
    gold = [document(0, (text, "Protein", "")), document(1, (other, "Protein", ""))]
    ids = ("NCBIGene:18508", "NCBIGene:20219|NCBIGene:5080")
    gold = [
        replace(one, concepts=(GoldConcept(((0, 4),), "Protein", id_),)) for one, id_ in zip(gold, ids, strict=True)
    ]
    scores = evaluate_concepts(Tagger(craft_iob, grounder=by).tag_documents, by.lexicon, gold)["per_label"]["Protein"]
    assert scores["genes"] == 1.0


def at(start: int, end: int, concept: int = NEURON) -> ConceptSpan:
    return ConceptSpan(((start, end),), concept)


PIECES = ConceptSpan(((0, 4), (10, 14)), NEURON)


@pytest.mark.parametrize(
    ("gold", "predicted", "f1", "slot_error_rate"),
    [
        ([at(0, 6)], [at(0, 6)], 1, 0),
        ([at(0, 6)], [], 0, 1),
        ([at(0, 6)], [at(7, 9)], 0, 2),
        ([at(0, 6)], [at(0, 6, CELL)], SIMILARITY, 1 - SIMILARITY),
        ([at(0, 6)], [at(0, 6, GENE)], 0, 2),
        ([at(0, 6)], [at(3, 9)], 3 / 9, 6 / 9),
        ([at(0, 4), at(4, 8)], [at(0, 8), at(4, 8)], (1 + 0.5) / 2, (2 - 1.5) / 2),  # best pairs first
        ([PIECES], [at(0, 4)], 0.5, 0.5),
        ([PIECES], [at(5, 9)], 0, 2),  # between the pieces
    ],
)
def test_shared_task_scores(gold, predicted, f1, slot_error_rate):
    scores = shared_task_scores([gold], [predicted], LEXICON)
    assert (scores["f1"], scores["ser"]) == (pytest.approx(f1), pytest.approx(slot_error_rate))


def test_shared_task_does_not_mix_documents():
    scores = shared_task_scores([[at(0, 6)], []], [[], [at(0, 6)]], LEXICON)
    assert (scores["precision"], scores["recall"], scores["ser"]) == (0.0, 0.0, 2.0)
