"""Mentions in tag sequences, against seqeval."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.labels import TAGS
from craft_ray.model.tags import TAG_SET, TagSet, iob_to_spans

sentences = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=12), min_size=1, max_size=6)


def spans_of(tagged: list[list[str]]):
    ids = np.array([TAGS.index(tag) for sentence in tagged for tag in sentence])
    owner = np.repeat(np.arange(len(tagged)), [len(sentence) for sentence in tagged])
    return iob_to_spans(ids, owner, TAG_SET)


@given(sentences)
def test_mentions_are_those_that_seqeval_finds(tagged):
    from seqeval.metrics.sequence_labeling import get_entities

    expected, offset = [], 0
    for sentence in tagged:
        expected += [(first + offset, last + offset, name) for name, first, last in get_entities(sentence)]
        offset += len(sentence)
    spans = spans_of(tagged)
    names = [TAG_SET.names[label] for label in spans.label]
    assert list(zip(spans.first.tolist(), spans.last.tolist(), names, strict=True)) == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.sampled_from(TAG_SET.names)), max_size=8))
def test_mentions_written_as_tags_are_found_again(mentions):
    """A gap of other words, words of the mention and its label: as `B-`, then `I-`."""
    tagged: list[str] = []
    expected = []
    for gap, length, name in mentions:
        tagged += ["O"] * gap
        expected.append((len(tagged), len(tagged) + length - 1, name))
        tagged += [f"B-{name}", *[f"I-{name}"] * (length - 1)]
    spans = spans_of([[*tagged, "O"]])
    names = [TAG_SET.names[label] for label in spans.label]
    assert list(zip(spans.first.tolist(), spans.last.tolist(), names, strict=True)) == expected


def test_a_mention_never_crosses_a_sentence():
    assert spans_of([["B-Taxon"], ["I-Taxon"]]).first.tolist() == [0, 1]


def test_the_published_checkpoints_spelling_of_gene_is_understood():
    spelled = ["O", "B-GENE", "I-GENE", "B-GGP", "Cell", "B-SO", "B-CHEBI", "B-Taxon"]
    tags = TagSet.from_id2label(dict(enumerate(spelled)))
    assert tags.names == ("Gene", "Protein", "Cell", "Sequence", "Chemical", "Taxon")
    assert tags.ontologies == ("GO", "PR", "CL", "SO", "CHEBI", "NCBITaxon")
    assert tags.begins.tolist() == [False, True, False, True, False, True, True, True]
