"""Mentions in predicted tags."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.errors import SettingsError
from craft_ray.core.labels import TAGS
from craft_ray.model.tags import SURE, Mention, Predictions, TagSet, align_mentions, find_mentions
from tests.support.tags import TAG_SET

GROUPS = TagSet.from_id2label(dict(enumerate(["O", "B-Cell", "I-Cell", "O", "B-Taxon", "I-Taxon"])))


def mentions_in(
    label_ids: list[list[int]], tags: TagSet, score: float = 0.6, sentence: list[int] | None = None, inner: str = ""
) -> list[tuple[int, int, str]]:
    """First unit, last unit and label of each mention.

    label_ids: of each unit in each group; inner: `+` for units that continue a word
    """
    ids = np.array(label_ids, np.int8).reshape(-1, tags.groups)
    sentences = np.zeros(len(ids), int) if sentence is None else np.array(sentence)
    flags = np.array([c == "+" for c in inner] or [False] * len(ids), np.bool_)
    predictions = Predictions.of(ids, np.full(ids.shape, score, np.float32), tags.label < 0, flags)
    spans, scores = find_mentions(predictions, sentences, flags, tags)
    assert len(scores) == len(spans.first)
    return [(first, last, tags.names[label]) for first, last, label in spans.rows().tolist()]


@given(st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=12), min_size=1, max_size=6))
def test_mentions_are_those_of_seqeval(sentences):
    from seqeval.metrics.sequence_labeling import get_entities

    expected, offset = [], 0
    for sentence in sentences:
        expected += [(first + offset, last + offset, name) for name, first, last in get_entities(sentence)]
        offset += len(sentence)
    ids = [[TAGS.index(tag)] for sentence in sentences for tag in sentence]
    numbers = [number for number, sentence in enumerate(sentences) for _ in sentence]
    assert mentions_in(ids, TAG_SET, sentence=numbers) == expected


def test_groups_are_independent():
    """Cells (label ids 0 to 2) and taxa (3 to 5) overlap."""
    assert mentions_in([[1, 3], [2, 4], [2, 5], [0, 5]], GROUPS) == [(0, 2, "Cell"), (1, 3, "Taxon")]


@pytest.mark.parametrize(
    ("label_ids", "score", "expected"),
    [
        ([1, 0, 0], 0.9, [(0, 2)]),
        ([0, 1, 2], 0.9, []),
        ([1, 0, 0], SURE, [(0, 0)]),
        ([0, 1, 2], SURE, [(1, 2)]),
        ([1, 1, 2], 0.9, [(0, 2)]),
        ([1, 2, 0], 0.9, [(0, 2)]),
    ],
)
def test_words_are_cut_only_where_the_network_is_sure(label_ids, score, expected):
    """A word of three pieces; the first one decides by itself."""
    ids = [[i, 3] for i in label_ids]
    assert mentions_in(ids, GROUPS, score, inner=" ++") == [(*span, "Cell") for span in expected]


def test_score_is_the_mean_probability_of_the_label():
    predictions = Predictions(np.arange(3, dtype=np.int32), np.array([1, 2, 0], np.int8), np.float32([0.9, 0.7, 0.8]))
    tags = TagSet.from_id2label({0: "O", 1: "B-Cell", 2: "I-Cell"})
    spans, scores = find_mentions(predictions, np.zeros(3), np.array([False, False, True]), tags)
    assert (spans.first.tolist(), spans.last.tolist()) == ([0], [2])
    assert scores == pytest.approx([(0.9 + 0.7 + 0.2) / 3])


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6), st.sampled_from(TAG_SET.names)), max_size=8))
def test_longest_mention_gets_its_units(mentions):
    start = np.arange(0, 30, 3)
    gold = [Mention(at, at + length, label) for at, length, label in mentions]
    aligned = align_mentions(start, start + 2, gold)
    covered = [unit for first, to, _ in aligned for unit in range(first, to)]
    assert len(covered) == len(set(covered))
    kept = [(to - first, label) for first, to, label in aligned]
    for mention in gold:
        over = [i for i in range(len(start)) if start[i] < mention.end and start[i] + 2 > mention.start]
        if over and (over[0], over[-1] + 1, mention.label) not in aligned:
            assert set(over) & set(covered)
    assert all(label in {m.label for m in gold} for _, label in kept)


@pytest.mark.parametrize("labels", [["O", "B-Cell", "O", "B-Taxon", "I-Taxon"], ["O", "O", "B-Cell"]])
def test_groups_of_different_size_are_refused(labels):
    with pytest.raises(SettingsError, match="differ in size"):
        TagSet.from_id2label(dict(enumerate(labels)))


def test_spelling_of_the_published_checkpoint():
    spelled = ["O", "B-GENE", "I-GENE", "B-GGP", "Cell", "B-SO", "B-CHEBI", "B-Taxon"]
    tags = TagSet.from_id2label(dict(enumerate(spelled)))
    assert tags.names == ("Gene", "Protein", "Cell", "Sequence", "Chemical", "Taxon")
    assert tags.ontologies == ("GO", "PR", "CL", "SO", "CHEBI", "NCBITaxon")
    assert tags.begins.tolist() == [False, True, False, True, False, True, True, True]


@pytest.mark.parametrize(
    ("labels", "names", "begins"),
    [
        (["O", "B-Cell", "I-Cell", "E-Cell", "S-Cell"], ("Cell",), [0, 1, 0, 0, 1]),
        (["B-Cell", "I-Cell", "L-Cell", "U-Cell", "O"], ("Cell",), [1, 0, 0, 1, 0]),
        (["O", "Cell-B", "Cell-I"], ("Cell",), [0, 1, 0]),
        (["O", "B_Cell", "I_Cell"], ("Cell",), [0, 1, 0]),
        (["O", "I_Cell"], ("Cell",), [0, 0]),
        (["O", "I-Cell"], ("Cell",), [0, 0]),
        (["O", "Cell"], ("Cell",), [0, 0]),
        (["B", "I", "O"], ("Entity",), [1, 0, 0]),
        (["O", "E-selectin", "Virus"], ("E-selectin", "Virus"), [0, 0, 0]),
    ],
)
def test_schemes(labels, names, begins):
    tags = TagSet.from_id2label(dict(enumerate(labels)))
    assert (tags.names, tags.begins.tolist()) == (names, begins)


def test_labels_without_names_are_refused_with_advice():
    with pytest.raises(SettingsError, match=r"LABEL_0.*write them into id2label of its config\.json"):
        TagSet.from_id2label({0: "LABEL_0", 1: "LABEL_1"})
