"""Mention replacement, names of ontologies, and noise."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.errors import SettingsError
from craft_ray.training.augmentation import (
    COMMON,
    DASHES,
    SCOPE,
    add_noise,
    names_of,
    ontology_names,
    replace_mentions,
)
from craft_ray.training.corpora import Sentence, text_key
from tests.support.gold import gold, marked
from tests.support.ontologies import obo_file

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


OBO = """format-version: 1.2
synonymtypedef: abbreviation "an abbreviation"

[Term]
id: X:1
name: TNF-alpha
synonym: "cachectin" RELATED []
synonym: "a \\"quoted\\" one" EXACT []
synonym: "far too broad" BROAD []

[Term]
id: X:2
name: a name of far too many words for a sentence

[Term]
id: X:3
name: TNF-alpha
"""


def test_short_names_and_synonyms(tmp_path: Path):
    names = ["TNF-alpha", "cachectin", 'a "quoted" one']
    assert ontology_names({"Protein": [obo_file(tmp_path, OBO, "x.obo.gz")]}) == {"Protein": names}


def test_file_without_names_is_refused(tmp_path: Path):
    (tmp_path / "x.obo").write_text("format-version: 1.2\n")
    with pytest.raises(SettingsError, match="no name of at most"):
        ontology_names({"Protein": [str(tmp_path / "x.obo")]})
    with pytest.raises(SettingsError, match="cannot read the ontology"):
        ontology_names({"Protein": [str(tmp_path / "none.obo")]})


NOISY = gold("The [PGC-1α|Protein] − alphabet [TNFalpha|Protein] in [[IFN γ|Protein] cells|Cell] [NF kappaB|Protein]")


@given(st.integers(0, 50), st.floats(0, 1))
def test_noise_keeps_mentions(seed, share):
    changed = add_noise([NOISY] * 5, share, seed)
    assert changed == add_noise([NOISY] * 5, share, seed)
    for sentence in changed:
        assert text_key(sentence.text) == text_key(NOISY.text)
        pairs = zip(marked(sentence), marked(NOISY), strict=True)
        assert all((text_key(a), x) == (text_key(b), y) for (a, x), (b, y) in pairs)


def test_all_kinds_of_noise_occur():
    texts = {s.text for seed in range(60) for s in add_noise([NOISY], 1.0, seed)}
    for expected in ("PGC-1alpha", "IFN gamma", "TNFα", "the ", "THE ", "NF κB", *DASHES):
        assert any(expected in text for text in texts), expected
    assert not any("αbet" in text for text in texts)


def test_share_of_changed_sentences():
    assert add_noise([NOISY] * 20, 0.0, 3) == [NOISY] * 20
    assert 0.2 < sum(s != NOISY for s in add_noise([NOISY] * 400, 0.5, 3)) / 400 < 0.6
