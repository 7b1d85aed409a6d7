"""Mention replacement."""

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.training.augmentation import COMMON, SCOPE, names_of, replace_mentions
from craft_ray.training.corpora import Sentence
from tests.support.gold import gold, marked

SENTENCE = gold("[Pax6|Protein] acts in [mice|Taxon].")
NAMES = {"Protein": ["IL-2"]}

words = st.sampled_from(["[a|Protein]", "[b c|Protein]", "[a|Taxon]", "[[d|Cell] e|Protein]", "f"])
sentences = st.lists(st.lists(words, max_size=6).map(lambda parts: gold(" ".join(parts))), max_size=6)


def test_mention_is_replaced_in_its_context():
    assert replace_mentions([SENTENCE], NAMES, {"Protein": 1.0}, 0) == [gold("[IL-2|Protein] acts in [mice|Taxon].")]


def test_name_has_one_replacement_within_scope():
    names = {"Protein": [f"name{i}" for i in range(1000)]}
    swapped = replace_mentions([SENTENCE] * 50, names, {"Protein": 1.0}, 0)
    assert len({sentence.text for sentence in swapped}) == 1
    sparse = [SENTENCE, *[Sentence(".")] * (SCOPE - 1)] * 10
    assert len({sentence.text for sentence in replace_mentions(sparse, names, {"Protein": 1.0}, 0)} - {"."}) == 10


@given(sentences, st.floats(0, 1), st.integers(0, 9))
def test_replacement_keeps_context_and_labels(corpus, share, seed):
    names = names_of(corpus, ["Protein", "Taxon"])
    swapped = replace_mentions(corpus, names, {"Protein": share, "Taxon": share}, seed)
    assert swapped == replace_mentions(corpus, names, {"Protein": share, "Taxon": share}, seed)
    for before, after in zip(corpus, swapped, strict=True):
        assert [label for _, label in marked(after)] == [label for _, label in marked(before)]
        assert after.text.count("f") == before.text.count("f")
        assert after.text.count("d e") >= before.text.count("d e")


def test_overlapping_mentions_stay():
    nested = gold("[[Pax6|Protein] gene|Sequence] of [Shh|Protein]")
    expected = gold("[[Pax6|Protein] gene|Sequence] of [IL-2|Protein]")
    assert replace_mentions([nested], NAMES, {"Protein": 1.0}, 0) == [expected]


def test_half_of_the_names_come_from_ontologies():
    distinct = [gold(f"[P{i}|Protein]") for i in range(400)]
    swapped = replace_mentions(distinct, {"Protein": ["own"]}, {"Protein": 1.0}, 0, {"Protein": ["other"]})
    counts = [sum(s.text == name for s in swapped) for name in ("own", "other")]
    assert sum(counts) == 400
    assert min(counts) > 150


def test_common_names_stay():
    corpus = [SENTENCE] * COMMON
    assert replace_mentions(corpus, NAMES, {"Protein": 1.0}, 0) == corpus
    assert replace_mentions(corpus[1:], NAMES, {"Protein": 1.0}, 0) != corpus[1:]


def test_nothing_changes_without_share_or_names():
    assert replace_mentions([SENTENCE], NAMES, {}, 0) == [SENTENCE]
    assert replace_mentions([SENTENCE], {}, {"Protein": 1.0}, 0) == [SENTENCE]
