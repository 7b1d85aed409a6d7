"""Noise changes how words are written, never how many there are or what they are tagged."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.training.corpora import TaggedSentence, text_key
from craft_ray.training.noise import DASHES, WAYS, add_noise

WORDS = ["The", "PGC", "-", "1α", "−", "alphabet", "TNFalpha", "in", "IFN", "γ", "NF", "kappaB"]
SENTENCE = TaggedSentence(WORDS, ["O"] * len(WORDS))


@given(st.integers(0, 50), st.floats(0, 1))
def test_words_and_tags_stay_in_step_and_letters_the_same(seed, share):
    changed = add_noise([SENTENCE] * 5, share, seed)
    assert changed == add_noise([SENTENCE] * 5, share, seed)
    for sentence in changed:
        assert sentence.tags == SENTENCE.tags
        assert [text_key([w]) for w in sentence.words] == [text_key([w]) for w in WORDS]


def test_every_way_of_writing_occurs():
    seen = {word for seed in range(60) for s in add_noise([SENTENCE], 1.0, seed) for word in s.words}
    assert {"1alpha", "gamma", "TNFα", "the", "THE", "κB"} <= seen
    assert seen >= set(DASHES)
    assert "αbet" not in seen


def test_a_share_of_nothing_changes_nothing():
    assert add_noise([SENTENCE] * 20, 0.0, 3) == [SENTENCE] * 20
    assert np.mean([s != SENTENCE for s in add_noise([SENTENCE] * 400, 0.5, 3)]) < 0.6
    assert len(WAYS) == 5
