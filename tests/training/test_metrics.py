"""Counts, the confusion table and the calibration error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

from craft_ray.core.labels import TAGS
from craft_ray.model.tags import Predictions, Spans, find_mentions
from craft_ray.training.metrics import confusion, expected_calibration_error, score_by_label, total
from tests.support.tags import TAG_SET

tags = st.lists(st.lists(st.sampled_from(TAGS), min_size=1, max_size=12), min_size=1, max_size=4)


def arrays(sentences: list[list[str]]) -> Spans:
    ids = np.array([[TAGS.index(tag)] for sentence in sentences for tag in sentence], np.int8)
    inner = np.zeros(len(ids), np.bool_)
    predictions = Predictions.of(ids, np.ones(ids.shape, np.float32), TAG_SET.label < 0, inner)
    return find_mentions(
        predictions, np.repeat(np.arange(len(sentences)), [len(s) for s in sentences]), inner, TAG_SET
    )[0]


@given(tags, st.data())
def test_counts_are_those_of_seqeval(gold, data):
    predicted = [data.draw(st.lists(st.sampled_from(TAGS), min_size=len(s), max_size=len(s))) for s in gold]
    by_label = score_by_label(arrays(gold), arrays(predicted), TAG_SET.names)
    micro = total(by_label.values())
    options = {"zero_division": 0}
    assert micro.precision == pytest.approx(precision_score(gold, predicted, **options))
    assert micro.recall == pytest.approx(recall_score(gold, predicted, **options))
    assert micro.f1 == pytest.approx(f1_score(gold, predicted, **options))
    if micro.gold or micro.predicted:
        theirs = classification_report(gold, predicted, output_dict=True, **options)
        for name, counts in by_label.items():
            if name in theirs:
                assert counts.f1 == pytest.approx(theirs[name]["f1-score"])
                assert counts.gold == theirs[name]["support"]
    table = confusion(arrays(gold), arrays(predicted), TAG_SET.names)
    for name, counts in by_label.items():
        assert sum(table[name].values()) == counts.gold
        assert table[name][name] == counts.correct


def test_confusion():
    gold = arrays([["B-Protein", "O", "B-Taxon", "I-Taxon", "B-Cell", "O"]])
    predicted = arrays([["B-Chemical", "O", "B-Taxon", "O", "O", "B-Gene"]])
    table = confusion(gold, predicted, TAG_SET.names)
    assert table["Protein"]["Chemical"] == 1
    assert table["Taxon"]["partly"] == 1
    assert table["Cell"]["missed"] == 1
    assert table["nothing"] == dict.fromkeys(TAG_SET.names, 0) | {"Gene": 1}
    assert sum(sum(row.values()) for row in table.values()) == 4


def test_expected_calibration_error():
    score = np.array([0.95, 0.95, 0.15, 0.15])
    correct = np.array([True, False, False, False])
    assert expected_calibration_error(score, correct) == pytest.approx((0.45 * 2 + 0.15 * 2) / 4)
    assert expected_calibration_error(np.array([1.0]), np.array([True])) == 0
    assert expected_calibration_error(np.empty(0), np.empty(0, bool)) == 0
