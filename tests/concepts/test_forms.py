import numpy as np
import pytest

from craft_ray.concepts.forms import BATCH, keys


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
def test_folding(first: str, second: str):
    assert same(first, second, "folded")
    assert not same(first, second, "exact")


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("neurons", "neuron"), ("nuclei", "nucleus"), ("mitochondria", "mitochondrion"), ("cell bodies", "cell body")],
)
def test_plurals(plural: str, singular: str):
    assert same(plural, singular, "key")
    assert not same(plural, singular, "folded")


def test_different_words():
    names = ["glucose", "glucosis", "Pax6", "Pax7", "IL-2", "IL-2R", "Ca2+", "Ca2", "gas", "ga"]
    assert len(set(keys(names).key.tolist())) == len(names)


def test_strings_without_letters():
    assert keys(["—", "...", " "]).key.tolist() == [0, 0, 0]


def test_keys_do_not_depend_on_the_batch():
    names = [f"näme-{n}s" for n in range(BATCH + 7)]
    together = keys(names)
    for n in (0, 1, BATCH - 1, BATCH, BATCH + 6):
        assert [column[n] for column in together] == [column[0] for column in keys([names[n]])]
    assert len(np.unique(together.key)) == len(names)
