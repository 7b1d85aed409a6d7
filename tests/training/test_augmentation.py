"""Mention replacement."""

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.labels import TAGS
from craft_ray.training.augmentation import COMMON, SCOPE, names_of, replace_mentions
from craft_ray.training.corpora import TaggedSentence, mention_spans

SENTENCE = TaggedSentence(["Pax6", "acts", "in", "mice", "."], ["B-Protein", "O", "O", "B-Taxon", "O"])
NAMES = {"Protein": [("IL", "-", "2")]}

sentences = st.lists(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(TAGS)), min_size=1, max_size=8).map(
        lambda pairs: TaggedSentence([p[0] for p in pairs], [p[1] for p in pairs])
    ),
    max_size=6,
)


def test_mention_is_replaced_in_its_context():
    assert replace_mentions([SENTENCE], NAMES, {"Protein": 1.0}, 0) == [
        TaggedSentence(
            ["IL", "-", "2", "acts", "in", "mice", "."],
            ["B-Protein", "I-Protein", "I-Protein", "O", "O", "B-Taxon", "O"],
        )
    ]


def test_name_has_one_replacement_within_scope():
    names = {"Protein": [(f"name{i}",) for i in range(1000)]}
    swapped = replace_mentions([SENTENCE] * 50, names, {"Protein": 1.0}, 0)
    assert len({sentence.words[0] for sentence in swapped}) == 1
    sparse = [SENTENCE, *[TaggedSentence(["."], ["O"])] * (SCOPE - 1)] * 10
    assert len({sentence.words[0] for sentence in replace_mentions(sparse, names, {"Protein": 1.0}, 0)} - {"."}) == 10


@given(sentences, st.floats(0, 1), st.integers(0, 9))
def test_replacement_keeps_context_and_labels(corpus, share, seed):
    names = names_of(corpus, ["Protein", "Taxon"])
    swapped = replace_mentions(corpus, names, {"Protein": share, "Taxon": share}, seed)
    assert swapped == replace_mentions(corpus, names, {"Protein": share, "Taxon": share}, seed)
    for before, after in zip(corpus, swapped, strict=True):
        assert len(after.words) == len(after.tags)
        assert [w for w, t in zip(after.words, after.tags, strict=True) if t == "O"] == [
            w for w, t in zip(before.words, before.tags, strict=True) if t == "O"
        ]
        assert [m[2] for m in mention_spans(after.tags)] == [m[2] for m in mention_spans(before.tags)]


def test_half_of_the_names_come_from_ontologies():
    distinct = [TaggedSentence([f"P{i}"], ["B-Protein"]) for i in range(400)]
    swapped = replace_mentions(distinct, {"Protein": [("own",)]}, {"Protein": 1.0}, 0, {"Protein": [("other",)]})
    counts = [sum(s.words == [name] for s in swapped) for name in ("own", "other")]
    assert sum(counts) == 400
    assert min(counts) > 150


def test_common_names_stay():
    corpus = [SENTENCE] * COMMON
    assert replace_mentions(corpus, NAMES, {"Protein": 1.0}, 0) == corpus
    assert replace_mentions(corpus[1:], NAMES, {"Protein": 1.0}, 0) != corpus[1:]


def test_nothing_changes_without_share_or_names():
    assert replace_mentions([SENTENCE], NAMES, {}, 0) == [SENTENCE]
    assert replace_mentions([SENTENCE], {}, {"Protein": 1.0}, 0) == [SENTENCE]
