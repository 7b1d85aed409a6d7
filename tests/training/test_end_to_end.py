"""The shared task's measure on cases that were worked out by hand."""

import pytest

from craft_ray.training.end_to_end import Annotation, shared_task_scores
from tests.support.ontologies import grounder

LEXICON = grounder().lexicon
CELL, NEURON, GANGLION, GENE = LEXICON.indices(["CL:0000000", "CL:0000540", "CL:0000740", "SO:0000704"]).tolist()
NEAR = (0.65 + 1) / (1.65 + 1)
"""Similarity of neuron and cell."""


def at(start: int, end: int, concept: int) -> Annotation:
    return Annotation(((start, end),), concept)


def scores(gold: list[Annotation], predicted: list[Annotation]) -> tuple[float, float]:
    found = shared_task_scores([gold], [predicted], LEXICON)
    return found["f1"], found["ser"]


def test_the_same_is_right_and_nothing_is_nothing():
    assert scores([at(0, 6, NEURON)], [at(0, 6, NEURON)]) == (1.0, 0.0)
    assert scores([at(0, 6, NEURON)], []) == (0.0, 1.0)
    assert scores([at(0, 6, NEURON)], [at(7, 9, NEURON)]) == (0.0, 2.0)


def test_a_near_class_counts_by_its_similarity():
    f1, ser = scores([at(0, 6, NEURON)], [at(0, 6, CELL)])
    assert f1 == pytest.approx(NEAR)
    assert ser == pytest.approx(1 - NEAR)


def test_a_class_without_any_in_common_is_a_miss_and_an_insertion():
    assert scores([at(0, 6, NEURON)], [at(0, 6, GENE)]) == (0.0, 2.0)


def test_an_overlap_counts_by_its_characters():
    f1, _ = scores([at(0, 6, NEURON)], [at(3, 9, NEURON)])
    assert f1 == pytest.approx(3 / 9)


def test_the_best_pairs_are_taken_first_one_to_one():
    gold, predicted = [at(0, 4, NEURON), at(4, 8, NEURON)], [at(0, 8, NEURON), at(4, 8, NEURON)]
    f1, ser = scores(gold, predicted)
    assert f1 == pytest.approx((1 + 0.5) / 2)
    assert ser == pytest.approx((2 - 1.5) / 2)


def test_pieces_count_without_what_lies_between():
    gold = [Annotation(((0, 4), (10, 14)), NEURON)]
    assert scores(gold, [at(0, 4, NEURON)])[0] == pytest.approx(0.5)
    assert scores(gold, [at(5, 9, NEURON)])[0] == 0.0


def test_documents_are_not_mixed():
    found = shared_task_scores([[at(0, 6, NEURON)], []], [[], [at(0, 6, NEURON)]], LEXICON)
    assert (found["precision"], found["recall"], found["ser"]) == (0.0, 0.0, 2.0)
