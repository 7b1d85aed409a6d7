"""Noise in training sentences."""

from hypothesis import given
from hypothesis import strategies as st

from craft_ray.training.noise import DASHES, add_noise
from craft_ray.training.overlap import text_key
from tests.support.gold import gold, marked

SENTENCE = gold(
    "The [PGC-1α|Protein] − alphabet [TNFalpha|Protein] in [[IFN γ|Protein] cells|Cell] [NF kappaB|Protein]"
)


@given(st.integers(0, 50), st.floats(0, 1))
def test_noise_keeps_mentions(seed, share):
    changed = add_noise([SENTENCE] * 5, share, seed)
    assert changed == add_noise([SENTENCE] * 5, share, seed)
    for sentence in changed:
        assert text_key(sentence.text) == text_key(SENTENCE.text)
        pairs = zip(marked(sentence), marked(SENTENCE), strict=True)
        assert all((text_key(a), x) == (text_key(b), y) for (a, x), (b, y) in pairs)


def test_all_kinds_of_noise_occur():
    texts = {s.text for seed in range(60) for s in add_noise([SENTENCE], 1.0, seed)}
    for expected in ("PGC-1alpha", "IFN gamma", "TNFα", "the ", "THE ", "NF κB", *DASHES):
        assert any(expected in text for text in texts), expected
    assert not any("αbet" in text for text in texts)


def test_share_of_changed_sentences():
    assert add_noise([SENTENCE] * 20, 0.0, 3) == [SENTENCE] * 20
    assert 0.2 < sum(s != SENTENCE for s in add_noise([SENTENCE] * 400, 0.5, 3)) / 400 < 0.6
