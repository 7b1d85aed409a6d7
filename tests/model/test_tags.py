"""Mentions in tag sequences."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.core.labels import TAGS
from craft_ray.model.tags import TAG_SET, TagSet, iob_to_spans


@given(st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=12), min_size=1, max_size=6))
def test_mentions_are_those_of_seqeval(sentences):
    from seqeval.metrics.sequence_labeling import get_entities

    expected, offset = [], 0
    for sentence in sentences:
        expected += [(first + offset, last + offset, name) for name, first, last in get_entities(sentence)]
        offset += len(sentence)
    ids = np.array([TAGS.index(tag) for sentence in sentences for tag in sentence])
    spans = iob_to_spans(ids, np.repeat(np.arange(len(sentences)), list(map(len, sentences))), TAG_SET)
    names = [TAG_SET.names[label] for label in spans.label]
    assert list(zip(spans.first.tolist(), spans.last.tolist(), names, strict=True)) == expected


def test_spelling_of_the_published_checkpoint():
    spelled = ["O", "B-GENE", "I-GENE", "B-GGP", "Cell", "B-SO", "B-CHEBI", "B-Taxon"]
    tags = TagSet.from_id2label(dict(enumerate(spelled)))
    assert tags.names == ("Gene", "Protein", "Cell", "Sequence", "Chemical", "Taxon")
    assert tags.ontologies == ("GO", "PR", "CL", "SO", "CHEBI", "NCBITaxon")
    assert tags.begins.tolist() == [False, True, False, True, False, True, True, True]
