"""Noise in training sentences."""

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.training.corpora import TaggedSentence
from craft_ray.training.noise import DASHES, add_noise
from craft_ray.training.overlap import text_key

WORDS = ["The", "PGC", "-", "1α", "−", "alphabet", "TNFalpha", "in", "IFN", "γ", "NF", "kappaB"]
SENTENCE = TaggedSentence(WORDS, ["O"] * len(WORDS))


@given(st.integers(0, 50), st.floats(0, 1))
def test_noise_keeps_words_and_tags_in_step(seed, share):
    changed = add_noise([SENTENCE] * 5, share, seed)
    assert changed == add_noise([SENTENCE] * 5, share, seed)
    for sentence in changed:
        assert sentence.tags == SENTENCE.tags
        assert [text_key([w]) for w in sentence.words] == [text_key([w]) for w in WORDS]


def test_all_kinds_of_noise_occur():
    words = {word for seed in range(60) for s in add_noise([SENTENCE], 1.0, seed) for word in s.words}
    assert {"1alpha", "gamma", "TNFα", "the", "THE", "κB"} <= words
    assert words >= set(DASHES)
    assert "αbet" not in words


def test_share_of_changed_sentences():
    assert add_noise([SENTENCE] * 20, 0.0, 3) == [SENTENCE] * 20
    assert 0.2 < sum(s != SENTENCE for s in add_noise([SENTENCE] * 400, 0.5, 3)) / 400 < 0.6
