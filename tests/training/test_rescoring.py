"""Fitting a rescoring of mentions."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import Document, Entity
from craft_ray.model.tags import Mention
from craft_ray.training.corpora import GoldDocument
from craft_ray.training.rescoring import LENGTHS, Tag, cut_article, fit_rescoring

SENTENCE = "The eye of each mouse has Pax6 but no Foo{0} was seen here. "


def article(number: int) -> GoldDocument:
    """Each sentence has three names; one of them is neither a gold mention nor in a lexicon."""
    text = "".join(SENTENCE.format(n % 10) for n in range(120))
    names = [(start, "Taxon", "mouse") for start in offsets(text, "mouse")]
    names += [(start, "Protein", "Pax6") for start in offsets(text, "Pax6")]
    gold = tuple(Mention(start, start + len(name), label) for start, label, name in sorted(names))
    return GoldDocument(str(number), text, gold)


def offsets(text: str, name: str) -> list[int]:
    return [n for n in range(len(text)) if text.startswith(name, n)]


def tag(documents: Sequence[Document]) -> list[list[Entity]]:
    """All three names of a sentence, the wrong one with the highest score."""
    return [
        [
            Entity(label, start, start + len(name), name, score, "text", None, 0, 0, concept_match=match)
            for name, label, score, match in (
                ("mouse", "Taxon", 0.8, "name"),
                ("Pax6", "Protein", 0.7, "corpus"),
                *((f"Foo{n}", "Protein", 0.9, None) for n in range(10)),
            )
            for start in offsets(document.text, name)
        ]
        for document in documents
    ]


def tagger(odds: float) -> Tag:
    """Finds proteins that are less likely, and wrong taxa, the more odds are added."""

    def tag_more(documents: Sequence[Document]) -> list[list[Entity]]:
        return [
            [e for e in entities if e.mention != "Pax6" or odds >= 1]
            + [replace(e, label="Taxon", score=0.9) for e in entities if e.mention.startswith("Foo") and odds >= 1]
            for entities in tag(documents)
        ]

    return tag_more


def test_mentions_without_concept_are_dropped():
    rescoring, report = fit_rescoring(lambda odds: tag, [article(n) for n in range(3)])
    assert rescoring.candidate_odds == {}
    for row in report["lengths"].values():
        assert row["before"]["precision"] == pytest.approx(2 / 3)
        assert row["after"]["precision"] == row["after"]["recall"] == row["after"]["f1"] == 1
        assert row["ece"][1] < row["ece"][0]
    assert list(report["lengths"]) == ["whole", *(str(length) for length in LENGTHS if length)]
    assert rescoring.weights["found by none"] < 0 < rescoring.weights["found by name"]
    assert set(rescoring.thresholds) == {"Protein", "Taxon"}
    assert 0 < rescoring.thresholds["Protein"] < 1


def test_less_likely_mentions_are_candidates_where_they_help():
    rescoring, report = fit_rescoring(tagger, [article(n) for n in range(3)], ["Protein", "Taxon"])
    assert rescoring.candidate_odds == {"Protein": 1.0}
    for row in report["lengths"].values():
        assert row["before"]["recall"] == pytest.approx(1 / 2)
        assert row["after"]["recall"] == 1


def test_thresholds_hold_on_other_corpora_too():
    """Whether `Baz`, of which the articles say nothing, is a protein decides where the threshold lies."""
    text = "Baz binds Pax6. "

    def with_baz(documents: Sequence[Document]) -> list[list[Entity]]:
        baz = Entity("Protein", 0, 3, "Baz", 0.995, "text", None, 0, 0, concept_match="related")
        found = zip(documents, tag(documents), strict=True)
        return [[*entities, baz] if document.text == text else entities for document, entities in found]

    def threshold(*gold: Mention) -> float:
        others = {"other": [GoldDocument("1", text, gold)]}
        rescoring, _ = fit_rescoring(lambda odds: with_baz, [article(n) for n in range(3)], others=others)
        return rescoring.thresholds["Protein"]

    baz, pax6 = Mention(0, 3, "Protein"), Mention(10, 14, "Protein")
    assert threshold(baz, pax6) == threshold() < threshold(pax6)


def test_figures_are_cross_validated():
    odd = article(0)
    odd = replace(odd, mentions=tuple(m for m in odd.mentions if m.label == "Taxon"))
    _, alone = fit_rescoring(lambda odds: tag, [odd, odd])
    _, among = fit_rescoring(lambda odds: tag, [odd, article(1)])
    assert alone["lengths"]["whole"]["after"]["f1"] > among["lengths"]["whole"]["after"]["f1"]


@pytest.mark.parametrize("length", LENGTHS)
def test_articles_are_cut_between_sentences(length: int | None):
    text = article(0).text
    cut = cut_article(article(0), length)
    assert "".join(text[begin:end] for begin, end in cut) == text
    assert all(text[begin:end].startswith("The eye") for begin, end in cut)
    assert len(cut) == 1 if length is None else all(end - begin >= length for begin, end in cut[:-1])


def test_too_little_data_is_refused():
    with pytest.raises(SettingsError, match="two articles or more"):
        fit_rescoring(tagger, [article(0)])
    none = replace(article(0), mentions=())
    with pytest.raises(SettingsError, match="all mentions are correct, or none is"):
        fit_rescoring(tagger, [none, none])
