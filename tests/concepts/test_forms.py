import numpy as np
import pytest

from craft_ray.concepts.forms import AT_ONCE, keys


def same(first: str, second: str, form: str) -> bool:
    found = keys([first, second])
    return bool(getattr(found, form)[0] == getattr(found, form)[1])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("PAX-6", "Pax6"),
        ("TNF-α", "TNF alpha"),
        ("naïve T cell", "Naive T-cell"),
        ("𝛽-actin", "beta actin"),
        ("Ca²⁺", "Ca2+"),
    ],
)
def test_case_accents_hyphens_and_greek_are_folded(first: str, second: str) -> None:
    assert same(first, second, "folded")
    assert not same(first, second, "exact")


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("neurons", "neuron"), ("nuclei", "nucleus"), ("mitochondria", "mitochondrion"), ("cell bodies", "cell body")],
)
def test_plurals_share_a_key(plural: str, singular: str) -> None:
    assert same(plural, singular, "key")
    assert not same(plural, singular, "folded")


def test_different_words_have_different_keys() -> None:
    names = ["glucose", "glucosis", "Pax6", "Pax7", "IL-2", "IL-2R", "Ca2+", "Ca2", "gas", "ga"]
    assert len(set(keys(names).key.tolist())) == len(names)


def test_a_string_without_letters_has_no_key() -> None:
    assert keys(["—", "...", " "]).key.tolist() == [0, 0, 0]


def test_a_string_has_the_same_key_alone_and_in_any_batch() -> None:
    names = [f"näme-{n}s" for n in range(AT_ONCE + 7)]
    together = keys(names)
    for n in (0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 6):
        assert [column[n] for column in together] == [column[0] for column in keys([names[n]])]
    assert len(np.unique(together.key)) == len(names)
