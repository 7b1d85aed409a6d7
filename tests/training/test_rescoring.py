"""Fitting how mentions are scored anew."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import Document, Entity
from craft_ray.training.craft import GoldDocument, Mention
from craft_ray.training.rescoring import PIECES, fit_rescoring, pieces

SENTENCE = "The eye of each mouse has Pax6 but no Foo{0} was seen here. "


def article(number: int) -> GoldDocument:
    """Each sentence has three names, of which one is no mention of gold and in no lexicon."""
    text = "".join(SENTENCE.format(n % 10) for n in range(120))
    names = [(place, "Taxon", "mouse") for place in _places(text, "mouse")]
    names += [(place, "Protein", "Pax6") for place in _places(text, "Pax6")]
    gold = tuple(Mention(place, place + len(name), label) for place, label, name in sorted(names))
    return GoldDocument(str(number), text, gold, {})


def _places(text: str, name: str) -> list[int]:
    return [n for n in range(len(text)) if text.startswith(name, n)]


def tag(documents: Sequence[Document]) -> list[list[Entity]]:
    """Finds all three names of a sentence, the wrong one with the highest score."""
    return [
        [
            Entity(label, place, place + len(name), name, score, "text", None, 0, 0, concept_match=match)
            for name, label, score, match in (
                ("mouse", "Taxon", 0.8, "name"),
                ("Pax6", "Protein", 0.7, "corpus"),
                *((f"Foo{n}", "Protein", 0.9, None) for n in range(10)),
            )
            for place in _places(document.text, name)
        ]
        for document in documents
    ]


def test_names_that_no_lexicon_has_are_left_out_where_they_are_no_mentions():
    rescoring, report = fit_rescoring(tag, [article(n) for n in range(3)])
    for row in report["lengths"].values():
        assert row["before"]["precision"] == pytest.approx(2 / 3)
        assert row["after"] == {"precision": 1, "recall": 1, "f1": 1}
        assert row["ece"][1] < row["ece"][0]
    assert list(report["lengths"]) == ["whole", *(str(length) for length in PIECES if length)]
    assert rescoring.weights["found by none"] < 0 < rescoring.weights["found by name"]
    assert 0 < rescoring.threshold < 1


def test_an_article_is_scored_by_a_fit_that_has_not_seen_it():
    """What one article alone would teach does not help that article."""
    odd = article(0)
    odd = replace(odd, mentions=tuple(m for m in odd.mentions if m.label == "Taxon"))
    _, alone = fit_rescoring(tag, [odd, odd])
    _, among = fit_rescoring(tag, [odd, article(1)])
    assert alone["lengths"]["whole"]["after"]["f1"] > among["lengths"]["whole"]["after"]["f1"]


@pytest.mark.parametrize("length", PIECES)
def test_pieces_are_whole_sentences_and_make_up_the_article(length: int | None):
    text = article(0).text
    cut = pieces(article(0), length)
    assert "".join(text[begin:end] for begin, end in cut) == text
    assert all(text[begin:end].startswith("The eye") for begin, end in cut)
    assert len(cut) == 1 if length is None else all(end - begin >= length for begin, end in cut[:-1])


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(SettingsError, match="two articles or more"):
        fit_rescoring(tag, [article(0)])
    none = replace(article(0), mentions=())
    with pytest.raises(SettingsError, match="all mentions are right, or none is"):
        fit_rescoring(tag, [none, none])
