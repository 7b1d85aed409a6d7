"""Mentions without stray punctuation, and labels that are consistent within a document."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.schema import Document, Section
from craft_ray.model import decode as decoding
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.refinement import Mentions, Words, refine
from craft_ray.model.tokens import tokenize
from craft_ray.model.windows import Windower
from tests.support.blocks import labelled
from tests.support.models import TOKENIZER
from tests.support.tags import TAG_SET

PROTEIN, CHEMICAL = TAG_SET.names.index("Protein"), TAG_SET.names.index("Chemical")


class Mention(NamedTuple):
    start: int
    end: int
    label: int
    score: float = 0.5


def words_of(text: str) -> Words:
    """Runs of letters and digits, and single signs. A line is a sentence."""
    found = list(re.finditer(r"\w+|[^\w\s]", text))
    sentences = [text.count("\n", 0, match.start()) for match in found]
    columns = [match.start() for match in found], [match.end() for match in found], sentences, [0] * len(found)
    return Words(text, *(np.array(column, np.int64) for column in columns), np.array([len(text)]))


def mention(label: int, first: int, last: int | None = None, score: float = 0.5) -> Mention:
    """A mention by the numbers of its first and last word."""
    return Mention(first, first if last is None else last, label, score)


def singles(label: int, *words: int) -> list[Mention]:
    """Mentions of one word."""
    return [mention(label, word) for word in words]


def refined_at(text: str, mentions: Iterable[Mention], cut_words: bool = False) -> list[Mention]:
    """Mentions after refinement, by offsets before and after it."""
    start, end, label, score = (np.array(column) for column in zip(*mentions, strict=True))
    found = refine(words_of(text), Mentions(np.zeros_like(start), start, end, label, score), cut_words)
    columns = found.start, found.end, found.label, found.score
    return [Mention(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def by_offset(text: str, mentions: Iterable[Mention]) -> list[Mention]:
    words = words_of(text)
    return [m._replace(start=int(words.start[m.start]), end=int(words.end[m.end])) for m in mentions]


def refined(text: str, *mentions: Mention) -> list[tuple[str, int]]:
    """Texts and labels after refinement."""
    return [(text[m.start : m.end], m.label) for m in refined_at(text, by_offset(text, mentions))]


def majorities(text: str, mentions: list[Mention]) -> list[Mention]:
    """Mentions after refinement, by the numbers of their words."""
    words = words_of(text)
    found = refined_at(text, by_offset(text, mentions)) if mentions else []
    return [m._replace(start=words.start.tolist().index(m.start), end=words.end.tolist().index(m.end)) for m in found]


@pytest.mark.parametrize(
    ("text", "last", "expected"),
    [
        ("PGC -", 1, "PGC"),
        ("- GluR-B(", 4, "GluR-B"),
        ("Ca2 +", 1, "Ca2 +"),
        ("Tg ( APP )", 3, "Tg ( APP )"),
        ("5 ′", 1, "5 ′"),
        ("+ / +", 2, None),
        (") .", 1, None),
    ],
)
def test_trim(text, last, expected):
    assert refined(text, mention(PROTEIN, 0, last)) == ([] if expected is None else [(expected, PROTEIN)])


APPS = "APP a APP b APP c APP"


@pytest.mark.parametrize(
    ("text", "mentions", "expected"),
    [
        (APPS, [*singles(PROTEIN, 0, 2, 6), *singles(CHEMICAL, 4)], [PROTEIN] * 4),
        (APPS, singles(PROTEIN, 0, 2, 6), [PROTEIN] * 4),
        (APPS, singles(PROTEIN, 0), []),
        ("APP a APP b", singles(PROTEIN, 0), [PROTEIN]),
        (f"{APPS} d APP", [*singles(PROTEIN, 0, 2), *singles(CHEMICAL, 4, 6)], [PROTEIN] * 2 + [CHEMICAL] * 2),
    ],
    ids=["relabelled", "added", "removed", "too few", "no majority for one label"],
)
def test_majority(text, mentions, expected):
    assert refined(text, *sorted(mentions)) == [("APP", label) for label in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N B a N B b N B c N B d", [0, 3, 6, 9]),
        ("N B a N B b N B c N\nB d", [0, 3, 6]),
        ("N N a N N b N N c N N N", [0, 3, 6, 9]),
    ],
)
def test_added_mentions_do_not_overlap_or_cross_sentences(text, expected):
    mentions = [mention(PROTEIN, first, first + 1) for first in (0, 3, 6)]
    assert [m[:2] for m in majorities(text, mentions)] == [(first, first + 1) for first in expected]


def test_case_and_blanks_tell_texts_apart():
    mentions = [mention(PROTEIN, first, first + 1) for first in (0, 3, 6)]
    assert refined("NF B a NF B b NF B c NF  B d nf B", *mentions) == [("NF B", PROTEIN)] * 3


@pytest.mark.parametrize("relabelled", [[], [mention(CHEMICAL, 6, score=0.1)]])
def test_score_of_added_and_relabelled_mentions(relabelled):
    """The mean score of the majority times its share."""
    mentions = [mention(PROTEIN, word, score=score) for word, score in ((0, 0.9), (2, 0.6), (4, 0.6))]
    result = majorities("Shh a Shh b Shh c Shh", mentions + relabelled)
    assert [m.start for m in result] == [0, 2, 4, 6]
    assert [m.score for m in result] == pytest.approx([0.9, 0.6, 0.6, 0.7 * 3 / 4])


@pytest.mark.parametrize(
    ("text", "mentions", "expected"),
    [
        ("doxycycline ( dox ) and dox", [mention(CHEMICAL, 0, 0), mention(PROTEIN, 5, 5)], ["dox"] * 2),
        ("doxycycline (dox), dox", [mention(CHEMICAL, 0, 0), mention(PROTEIN, 2, 2)], ["dox"] * 2),
        ("retinal cells (RCs) an RC and RCs", [mention(CHEMICAL, 0, 1)], ["RCs", "RC", "RCs"]),
        ("retinal cells (n = 3) n", [mention(CHEMICAL, 0, 1)], []),
        ("retinal cells (see FGF) FGF", [mention(CHEMICAL, 0, 1)], []),
        ("doxycycline (dox) doxDox", [mention(CHEMICAL, 0, 0)], ["dox"]),
        ("doxycycline (d) and d", [mention(CHEMICAL, 0, 0)], []),
        ("doxycycline (", [mention(CHEMICAL, 0, 0)], []),
        ("doxycycline (dox", [mention(CHEMICAL, 0, 0)], []),
    ],
)
def test_abbreviations(text, mentions, expected):
    long_form = text.split(" (")[0]
    assert refined(text, *mentions) == [(mention, CHEMICAL) for mention in (long_form, *expected)]


texts = st.text(alphabet=st.sampled_from("aPx6 .\n-é\U0001f9ec(+"), max_size=150)


@given(st.lists(texts, max_size=4), st.integers(0, 2**32 - 1), st.sampled_from([3, 100_000]), st.booleans())
def test_documents_do_not_influence_each_other(documents, seed, max_words, pieces):
    documents = [Document(str(i), t, (Section("s", 0, len(t)),) if t else ()) for i, t in enumerate(documents)]
    generator = np.random.default_rng(seed)
    decoder = Decoder(TAG_SET, refine=True, cut_words=pieces)
    windower = Windower(TOKENIZER, 16, label_pieces=pieces)
    alone, all_labels = [], [np.empty(0, np.int8)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_WORDS", max_words)
        for document in documents:
            tokens = tokenize([document], windower)
            labels = generator.choice([0, 0, 5, 6, 11], len(tokens["unit_start"].flatten())).astype(np.int8)
            alone += decode(labelled([document], tokens, labels), decoder)[0].drop_columns("row").to_pylist()
            all_labels.append(labels)
        block = labelled(documents, tokenize(documents, windower), np.concatenate(all_labels))
        entities, _ = decode(block, decoder)
    assert entities.drop_columns("row").to_pylist() == alone
    end = {}
    for entity in entities.to_pylist():
        text = documents[entity["row"]].text
        assert text[entity["start"] : entity["end"]] == entity["mention"]
        assert re.search(r"[^\s.(+-]", entity["mention"])
        assert entity["sentence_start"] <= entity["start"] >= end.get(entity["row"], 0)
        end[entity["row"]] = entity["end"]


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("Isl1 and Isl1Cre", "Isl1Cre", "Isl1"),
        ("Atrx1 and Atrx1flox", "Atrx1flox", "Atrx1"),
        ("Notch and NotchICD", "NotchICD", "Notch"),
        ("Sox1 and Sox10", "Sox10", "Sox10"),
        ("neural and neurals", "neurals", "neurals"),
        ("Kit and KitCre", "KitCre", "KitCre"),
        ("E2f3 and E2f3a", "E2f3a", "E2f3a"),
        ("AMPA and AMPARs", "AMPARs", "AMPARs"),
    ],
)
def test_names_are_cut_off_words(text, name, expected):
    mentions = [Mention(0, text.index(" "), PROTEIN), Mention(len(text) - len(name), len(text), PROTEIN)]
    assert [text[m.start : m.end] for m in refined_at(text, mentions, cut_words=True)] == [text.split()[0], expected]
    others = [mentions[0]._replace(label=CHEMICAL), mentions[1]]
    assert refined_at(text, others, cut_words=True) == others
