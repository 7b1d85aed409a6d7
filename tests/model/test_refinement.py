"""Mentions without stray punctuation, and labels that are consistent within a document."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.labels import TAGS
from craft_ray.core.schema import Document, Section
from craft_ray.model import decode as decoding
from craft_ray.model.decode import Decoder, decode
from craft_ray.model.refinement import MIN_MAJORITY, Words, apply_majorities, refine, trim
from craft_ray.model.tags import TAG_SET, Spans, iob_to_spans
from craft_ray.model.tokens import tokenize
from craft_ray.model.windows import Windower
from tests.support.blocks import labelled
from tests.support.models import TOKENIZER

PROTEIN, CHEMICAL = TAG_SET.names.index("Protein"), TAG_SET.names.index("Chemical")


def words_of(text: str) -> Words:
    """Runs of letters and digits, and single signs. A line is a sentence."""
    found = list(re.finditer(r"\w+|[^\w\s]", text))
    start, end = (np.array([f(match) for match in found], np.int64) for f in (re.Match.start, re.Match.end))
    return Words.of(text, start, end, np.array([text.count("\n", 0, at) for at in start], np.int64))


def spans_of(*mentions: tuple[int, int, int]) -> Spans:
    """First word, last word and label of each mention."""
    return Spans(*np.array(mentions, np.int64).reshape(-1, 3).T)


def singles(label: int, *words: int) -> list[tuple[int, int, int]]:
    """Mentions of one word."""
    return [(word, word, label) for word in words]


def scores(count: int) -> np.ndarray:
    return np.full(count, 0.5, np.float32)


def refined(text: str, *mentions: tuple[int, int, int]) -> list[tuple[str, int]]:
    """Texts and labels after refinement."""
    words = words_of(text)
    result, _ = refine(words, spans_of(*mentions), scores(len(mentions)))
    return [(text[words.start[a] : words.end[b]], label) for a, b, label in result.rows().tolist()]


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
    assert refined(text, (0, last, PROTEIN)) == ([] if expected is None else [(expected, PROTEIN)])


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


def test_added_mentions_do_not_overlap_or_cross_sentences():
    words = words_of("N B a N B b N B c N B d")
    spans = spans_of((0, 1, PROTEIN), (3, 4, PROTEIN), (6, 7, PROTEIN))
    assert apply_majorities(words, spans, scores(3))[0].first.tolist() == [0, 3, 6, 9]
    words.sentence[10:] = 1  # between the last N and B
    assert apply_majorities(words, spans, scores(3))[0].first.tolist() == [0, 3, 6]
    repeated = words_of("N N a N N b N N c N N N")
    result, _ = apply_majorities(repeated, spans, scores(3))
    assert result.rows()[:, :2].tolist() == [[0, 1], [3, 4], [6, 7], [9, 10]]


def test_case_blanks_and_sentences_tell_texts_apart():
    text = "NF B a NF B b NF B c NF\nB d NF  B e nf B"
    assert refined(text, (0, 1, PROTEIN), (3, 4, PROTEIN), (6, 7, PROTEIN)) == [("NF B", PROTEIN)] * 3


@pytest.mark.parametrize("relabelled", [[], singles(CHEMICAL, 6)])
def test_score_of_added_and_relabelled_mentions(relabelled):
    """The mean score of the majority times its share."""
    spans = spans_of(*singles(PROTEIN, 0, 2, 4), *relabelled)
    score = np.array([0.9, 0.6, 0.6, 0.1][: len(spans.first)], np.float32)
    result, found = apply_majorities(words_of("Shh a Shh b Shh c Shh"), spans, score)
    assert result.first.tolist() == [0, 2, 4, 6]
    assert found == pytest.approx([0.9, 0.6, 0.6, 0.7 * 3 / 4])


@pytest.mark.parametrize(
    ("text", "mentions", "expected"),
    [
        ("doxycycline ( dox ) and dox", [(0, 0, CHEMICAL), (5, 5, PROTEIN)], ["dox"] * 2),
        ("doxycycline (dox), dox", [(0, 0, CHEMICAL), (2, 2, PROTEIN)], ["dox"] * 2),
        ("retinal cells (RCs) an RC and RCs", [(0, 1, CHEMICAL)], ["RCs", "RC", "RCs"]),
        ("retinal cells (n = 3) n", [(0, 1, CHEMICAL)], []),
        ("retinal cells (see FGF) FGF", [(0, 1, CHEMICAL)], []),
        ("doxycycline (dox) doxDox", [(0, 0, CHEMICAL)], ["dox"]),
        ("doxycycline (d) and d", [(0, 0, CHEMICAL)], []),
        ("doxycycline (", [(0, 0, CHEMICAL)], []),
        ("doxycycline (dox", [(0, 0, CHEMICAL)], []),
    ],
)
def test_abbreviations(text, mentions, expected):
    long_form = text.split(" (")[0]
    assert refined(text, *mentions) == [(mention, CHEMICAL) for mention in (long_form, *expected)]


def test_colliding_keys():
    class Colliding(Words):
        """All single words have the same key."""

        def keys(self, first, last):
            return np.where(last == first, 7, 8).astype(np.uint64)

    words = words_of("Shh a Shh b Shh c Ihh")
    colliding = Colliding(words.codes, words.start, words.end, words.sentence)
    result, _ = apply_majorities(colliding, spans_of(*singles(PROTEIN, 0, 2)), scores(2))
    assert result.first.tolist() == []  # two of seven, by their keys
    result, _ = apply_majorities(colliding, spans_of(*singles(PROTEIN, 0, 1, 2, 3)), scores(4))
    assert 6 not in result.first.tolist()


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "ab", "\U0001f9ec", "é"]), st.integers(0, 12)), max_size=40))
def test_majorities_of_single_words_as_counted_one_by_one(tagged):
    label_of = [TAG_SET.label[tag] for _, tag in tagged]
    chosen = [i for i, label in enumerate(label_of) if label >= 0]
    spans = spans_of(*((i, i, label_of[i]) for i in chosen))
    result, _ = apply_majorities(words_of(" ".join(text for text, _ in tagged)), spans, scores(len(chosen)))
    expected = []
    for i, (text, _) in enumerate(tagged):
        votes = Counter(label_of[j] for j in chosen if tagged[j][0] == text)
        total, count = sum(votes.values()), sum(other == text for other, _ in tagged)
        most = max(votes.values(), default=0)
        winner = min((label for label, n in votes.items() if n == most), default=-1)
        label = label_of[i]
        if most >= MIN_MAJORITY and 2 * most >= count:
            label = winner
        elif count >= MIN_MAJORITY and 2 * total < count:
            label = -1
        if label >= 0:
            expected.append([i, i, label])
    assert result.rows().tolist() == expected


texts = st.text(alphabet=st.sampled_from("aPx6 .\n-é\U0001f9ec(+"), max_size=150)


@given(st.lists(texts, max_size=4), st.integers(0, 2**32 - 1), st.sampled_from([3, 100_000]))
def test_documents_do_not_influence_each_other(documents, seed, max_words):
    documents = [Document(str(i), t, (Section("s", 0, len(t)),) if t else ()) for i, t in enumerate(documents)]
    generator = np.random.default_rng(seed)
    decoder, windower = Decoder(TAG_SET, refine=True), Windower(TOKENIZER, 16)
    alone, all_labels = [], [np.empty(0, np.int8)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_WORDS", max_words)
        for document in documents:
            tokens = tokenize([document], windower)
            labels = generator.choice([0, 0, 5, 6, 11], len(tokens["word_start"].flatten())).astype(np.int8)
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


@given(st.lists(st.integers(0, len(TAGS) - 1), max_size=30), st.integers(0, 9))
def test_trim_keeps_order_labels_and_names(tags, seed):
    signs = np.random.default_rng(seed).choice(list("a1-+(.)"), len(tags))
    spans = iob_to_spans(np.array(tags, np.int8), np.zeros(len(tags), np.int64), TAG_SET)
    tidy, kept = trim(words_of(" ".join(signs)), spans)
    assert (np.diff(kept) > 0).all()
    assert (tidy.label == spans.label[kept]).all()
    for first, last in zip(tidy.first.tolist(), tidy.last.tolist(), strict=True):
        assert any(sign.isalnum() for sign in signs[first : last + 1])
        assert signs[first] not in "-.)"
        assert signs[last] not in "-.("
