"""Refined mentions: no loose punctuation, and equal texts of a document decided alike, by its majority."""

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
    """Runs of letters and digits, and every other sign; a line is a sentence."""
    found = list(re.finditer(r"\w+|[^\w\s]", text))
    start, end = (np.array([f(match) for match in found], np.int64) for f in (re.Match.start, re.Match.end))
    return Words.of(text, start, end, np.array([text.count("\n", 0, at) for at in start], np.int64))


def refined(text: str, *mentions: tuple[int, int, int]) -> list[tuple[str, int]]:
    """The mentions' texts and labels after mentions, first word, last word and label each, were refined."""
    words = words_of(text)
    spans = Spans(*(np.array(column, np.int64) for column in zip(*mentions, strict=True)))
    result, _ = refine(words, spans, np.full(len(mentions), 0.5, np.float32))
    return [(text[words.start[a] : words.end[b]], label) for a, b, label in result.rows().tolist()]


@pytest.mark.parametrize(
    ("text", "last", "left"),
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
def test_loose_punctuation_at_the_ends_goes_and_what_has_no_name_is_none(text, last, left):
    assert refined(text, (0, last, PROTEIN)) == ([] if left is None else [(left, PROTEIN)])


def test_a_majority_decides_for_all_occurrences():
    text = "APP a APP b APP c APP d"
    assert refined(text, (0, 0, PROTEIN), (2, 2, PROTEIN), (4, 4, CHEMICAL), (6, 6, PROTEIN)) == [("APP", PROTEIN)] * 4
    assert refined(text, (0, 0, PROTEIN), (2, 2, PROTEIN), (6, 6, PROTEIN)) == [("APP", PROTEIN)] * 4
    assert refined(text, (0, 0, PROTEIN)) == []
    assert refined("APP a APP b", (0, 0, PROTEIN)) == [("APP", PROTEIN)]


def test_without_a_majority_for_one_label_mentions_stay_as_they_are():
    text = "APP a APP b APP c APP d APP e APP f APP g APP"
    proteins, chemicals = [(i, i, PROTEIN) for i in (0, 2, 4)], [(i, i, CHEMICAL) for i in (6, 8)]
    assert refined(text, *proteins, *chemicals) == [("APP", PROTEIN)] * 3 + [("APP", CHEMICAL)] * 2


def test_mentions_that_come_share_no_word_and_lie_in_one_sentence():
    text = "N B a N B b N B c N B d"
    words = words_of(text)
    spans = Spans(*(np.array(column) for column in ([0, 3, 6], [1, 4, 7], [PROTEIN] * 3)))
    score = np.full(3, 0.5, np.float32)
    assert apply_majorities(words, spans, score)[0].first.tolist() == [0, 3, 6, 9]
    words.sentence[10:] = 1  # a sentence begins between the last N and B
    assert apply_majorities(words, spans, score)[0].first.tolist() == [0, 3, 6]
    twice = words_of("N N a N N b N N c N N N")
    assert apply_majorities(twice, spans, score)[0].rows()[:, :2].tolist() == [[0, 1], [3, 4], [6, 7], [9, 10]]


def test_case_and_blanks_tell_texts_apart_and_no_mention_crosses_a_sentence():
    text = "NF B a NF B b NF B c NF\nB d NF  B e nf B"
    mentions = [(0, 1, PROTEIN), (3, 4, PROTEIN), (6, 7, PROTEIN)]
    assert refined(text, *mentions) == [("NF B", PROTEIN)] * 3


def test_a_mention_that_comes_has_the_mean_score_times_the_share_that_was_found():
    words = words_of("Shh a Shh b Shh c Shh")
    spans = Spans(np.array([0, 2, 4]), np.array([0, 2, 4]), np.array([PROTEIN] * 3, np.int8))
    result, score = apply_majorities(words, spans, np.array([0.9, 0.6, 0.6], np.float32))
    assert result.first.tolist() == [0, 2, 4, 6]
    assert score == pytest.approx([0.9, 0.6, 0.6, 0.7 * 3 / 4])
    spans = Spans(*(np.array(column) for column in ([0, 2, 4, 6], [0, 2, 4, 6], [PROTEIN] * 3 + [CHEMICAL])))
    _, score = apply_majorities(words, spans, np.array([0.9, 0.6, 0.6, 0.1], np.float32))
    assert score == pytest.approx([0.9, 0.6, 0.6, 0.7 * 3 / 4])


@pytest.mark.parametrize(
    ("text", "mentions", "expected"),
    [
        ("doxycycline ( dox ) and dox", [(0, 0, CHEMICAL), (5, 5, PROTEIN)], ["dox Chemical"] * 2),
        ("doxycycline (dox), dox", [(0, 0, CHEMICAL), (2, 2, PROTEIN)], ["dox Chemical"] * 2),
        ("retinal cells (RCs) an RC and RCs", [(0, 1, CHEMICAL)], ["RCs Chemical", "RC Chemical", "RCs Chemical"]),
        ("retinal cells (n = 3) n", [(0, 1, CHEMICAL)], []),
        ("retinal cells (see FGF) FGF", [(0, 1, CHEMICAL)], []),
        ("doxycycline (dox) doxDox", [(0, 0, CHEMICAL)], ["dox Chemical"]),
        ("doxycycline (d) and d", [(0, 0, CHEMICAL)], []),
        ("doxycycline (", [(0, 0, CHEMICAL)], []),
        ("doxycycline (dox", [(0, 0, CHEMICAL)], []),
    ],
)
def test_an_abbreviation_is_what_its_long_form_is(text, mentions, expected):
    found = [f"{mention} {TAG_SET.names[label]}" for mention, label in refined(text, *mentions)]
    assert found == [f"{text.split(' (')[0]} Chemical", *expected]


def test_texts_are_compared_and_not_their_keys_alone():
    class Colliding(Words):
        """Every single word has the same key."""

        def keys(self, first, last):
            return np.where(last == first, 7, 8).astype(np.uint64)

    words = words_of("Shh a Shh b Shh c Ihh")
    colliding = Colliding(words.codes, words.start, words.end, words.sentence)
    shh = np.array([0, 2])
    result, _ = apply_majorities(
        colliding, Spans(shh, shh, np.array([PROTEIN] * 2, np.int8)), np.full(2, 0.5, np.float32)
    )
    assert result.first.tolist() == []  # two of seven, by their keys
    shh = np.array([0, 1, 2, 3])
    spans = Spans(shh, shh, np.array([PROTEIN] * 4, np.int8))
    result, _ = apply_majorities(colliding, spans, np.full(4, 0.5, np.float32))
    assert 6 not in result.first.tolist()


letters = st.lists(st.tuples(st.sampled_from(["a", "b", "ab", "\U0001f9ec", "é"]), st.integers(0, 12)), max_size=40)


@given(letters)
def test_it_is_what_counting_by_hand_gives(tagged):
    """Single words, so that no two occurrences overlap."""
    words = words_of(" ".join(text for text, _ in tagged))
    label_of = [TAG_SET.label[tag] for _, tag in tagged]
    chosen = [i for i, label in enumerate(label_of) if label >= 0]
    spans = Spans(np.array(chosen, np.int64), np.array(chosen, np.int64), np.array([label_of[i] for i in chosen]))
    result, _ = apply_majorities(words, spans, np.full(len(chosen), 0.5, np.float32))
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
def test_a_document_is_refined_by_itself_and_its_mentions_are_apart(documents, seed, part):
    documents = [Document(str(i), t, (Section("s", 0, len(t)),) if t else ()) for i, t in enumerate(documents)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "MAX_WORDS", part)
        generator = np.random.default_rng(seed)
        blocks = []
        for document in documents:
            tokens = tokenize([document], Windower(TOKENIZER, 16))
            chosen = generator.choice([0, 0, 5, 6, 11], len(tokens["word_start"].flatten())).astype(np.int8)
            blocks.append((tokens, chosen))
        alone = [
            decode(labelled([d], tokens, chosen), Decoder(TAG_SET, refine=True))[0].drop_columns("row").to_pylist()
            for d, (tokens, chosen) in zip(documents, blocks, strict=True)
        ]
        every = np.concatenate([chosen for _, chosen in blocks] or [np.empty(0, np.int8)])
        together = tokenize(documents, Windower(TOKENIZER, 16))
        entities, _ = decode(labelled(documents, together, every), Decoder(TAG_SET, refine=True))
    assert entities.drop_columns("row").to_pylist() == [entity for found in alone for entity in found]
    end = {}
    for entity in entities.to_pylist():
        text = documents[entity["row"]].text
        assert text[entity["start"] : entity["end"]] == entity["mention"]
        assert re.search(r"[^\s.(+-]", entity["mention"])
        assert entity["sentence_start"] <= entity["start"] >= end.get(entity["row"], 0)
        end[entity["row"]] = entity["end"]


@given(st.lists(st.integers(0, len(TAGS) - 1), max_size=30), st.integers(0, 9))
def test_trimming_keeps_order_labels_and_names(tags, seed):
    signs = np.random.default_rng(seed).choice(list("a1-+(.)"), len(tags))
    words = words_of(" ".join(signs))
    spans = iob_to_spans(np.array(tags, np.int8), np.zeros(len(tags), np.int64), TAG_SET)
    tidy, kept = trim(words, spans)
    assert (np.diff(kept) > 0).all()
    assert (tidy.label == spans.label[kept]).all()
    for first, last in zip(tidy.first.tolist(), tidy.last.tolist(), strict=True):
        assert any(sign.isalnum() for sign in signs[first : last + 1])
        assert signs[first] not in "-.)"
        assert signs[last] not in "-.("
