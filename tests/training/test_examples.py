"""Training examples, and batches limited by padded tokens."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.windows import Windower
from craft_ray.model.wordpieces import Units
from craft_ray.training.corpora import Corpus, Sentence
from craft_ray.training.examples import (
    IGNORED,
    LENGTH_STEP,
    EpochExamples,
    Examples,
    Head,
    TokenBatches,
    join_examples,
    make_examples,
    token_batches,
    unit_tags,
)
from craft_ray.training.training_data import make_head
from tests.support.gold import gold
from tests.support.models import TOKENIZER


def examples_of(
    sentences: list[Sentence], limit: int = 510, size: int = 0, nested: bool = False, suffix: tuple[int, ...] = (102,)
) -> tuple[Examples, Units, Head]:
    head, (places,) = make_head([Corpus("", sentences)], nested)
    units, windows = Windower(TOKENIZER, limit, size, nested)([s.text for s in sentences])
    return make_examples(windows, unit_tags(sentences, units, head, places), (101,), suffix), units, head


@pytest.mark.parametrize(("limit", "size"), [(510, 0), (510, 64), (8, 0)])
def test_each_word_is_labelled_once(limit, size):
    sentences = [
        gold("[Pax6|Protein] in [house mice|Taxon]. " * 5),
        gold("ok"),
        gold("[Shh|Protein] acts"),
    ]
    examples, _, _ = examples_of(sentences, limit, size, suffix=(102, 103))
    tags = [tag for i in range(len(examples)) for (tag,) in examples[i]["labels"].tolist() if tag != IGNORED]
    assert tags == [1, 0, 3, 4, 0] * 5 + [0, 1, 0]
    for i in range(len(examples)):
        assert examples[i]["input_ids"][0] == 101
        assert examples[i]["input_ids"][-2:].tolist() == [102, 103]
        assert len(examples[i]["input_ids"]) == len(examples[i]["labels"]) <= limit + 3
    twice = join_examples([examples, examples])
    assert len(twice) == 2 * len(examples)
    assert np.array_equal(twice[len(examples)]["labels"], examples[0]["labels"])


def test_each_piece_is_labelled_in_each_group():
    """`Pax6Cre` is several pieces; groups are in the order of the labels."""
    sentences = [gold("[[Pa|Protein]x6Cre mice|Taxon]")]
    examples, units, head = examples_of(sentences, nested=True)
    assert head.groups == (("Protein",), ("Taxon",))
    pieces = [sentences[0].text[a:b] for a, b in zip(units.start, units.end, strict=True)]
    assert "".join(pieces) == "Pax6Cremice"
    assert pieces[0] == "Pa"
    tags = examples[0]["labels"][1:-1].tolist()
    assert tags == [[1, 1], *[[0, 2]] * (len(pieces) - 1)]


def test_auxiliary_corpora_teach_the_labels_that_they_share():
    main = Corpus("main", [gold("[Pax6|Protein] in [mice|Taxon]")])
    other = Corpus("other", [gold("[flu|Virus] in [hens|Host]")]).renamed({"Host": "Taxon"})
    head, places = make_head([main, other], nested=True)
    assert head.groups == (("Protein",), ("Taxon",), ("Virus",))
    assert places[1] == {"Taxon": (1, 0), "Virus": (2, 0)}
    units, _ = Windower(TOKENIZER, 510)(["flu in hens"])
    tags = unit_tags(other.sentences, units, head, places[1])
    assert tags.tolist() == [[IGNORED, 0, 1], [IGNORED, 0, 0], [IGNORED, 1, 0]]
    flat, places = make_head([main, other], nested=False)
    assert flat.groups == (("Protein", "Taxon"), ("Virus",))
    assert places[1] == {"Taxon": (0, 1), "Virus": (1, 0)}


def examples(lengths: list[int]) -> Examples:
    total = sum(lengths)
    return Examples(np.zeros(total, np.int32), np.zeros(total, np.int16), np.cumsum(lengths, dtype=np.int64))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 1000), st.integers(0, 5))
def test_batches_cover_all_windows_within_the_limit(lengths, tokens, seed):
    batches = token_batches(np.array(lengths), tokens, np.random.default_rng(seed))
    assert sorted(int(i) for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = -(-max(lengths[i] for i in batch) // LENGTH_STEP) * LENGTH_STEP
        assert len(batch) == 1 or len(batch) * longest <= tokens
    assert len(batches) == len(token_batches(np.array(lengths), tokens, np.random.default_rng(seed + 1)))


def test_workers_share_an_epoch():
    epochs = EpochExamples([examples([20, 30, 40, 50] * 25)])
    workers = [TokenBatches(epochs, 128, seed=1, rank=rank, workers=2) for rank in (0, 1)]
    first = [list(worker) for worker in workers]
    assert len(first[0]) == len(first[1]) == len(workers[0])
    windows = [window for batches in first for batch in batches for window in batch]
    assert len(windows) == len(set(windows)) >= 97  # an odd batch is left out
    assert first[0] == list(workers[0])
    epochs.epoch = 1
    assert first[0] != list(workers[0])


def test_epochs_of_different_length_have_equally_many_batches():
    epochs = EpochExamples([examples([100] * 12), examples([100] * 10)])
    batches = TokenBatches(epochs, 224, seed=1, rank=0, workers=1)
    assert len(batches) == len(list(batches)) == 5
    epochs.epoch = 1
    assert len(list(batches)) == 5
