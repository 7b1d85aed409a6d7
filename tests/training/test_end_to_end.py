"""The shared task's measure on cases worked out by hand."""

import pytest

from craft_ray.training.end_to_end import ConceptSpan, shared_task_scores
from tests.support.ontologies import grounder

LEXICON = grounder().lexicon
CELL, NEURON, GENE = LEXICON.indices(["CL:0000000", "CL:0000540", "SO:0000704"]).tolist()
SIMILARITY = (0.65 + 1) / (1.65 + 1)
"""Of neuron and cell."""


def at(start: int, end: int, concept: int = NEURON) -> ConceptSpan:
    return ConceptSpan(((start, end),), concept)


PIECES = ConceptSpan(((0, 4), (10, 14)), NEURON)


@pytest.mark.parametrize(
    ("gold", "predicted", "f1", "slot_error_rate"),
    [
        ([at(0, 6)], [at(0, 6)], 1, 0),
        ([at(0, 6)], [], 0, 1),
        ([at(0, 6)], [at(7, 9)], 0, 2),
        ([at(0, 6)], [at(0, 6, CELL)], SIMILARITY, 1 - SIMILARITY),
        ([at(0, 6)], [at(0, 6, GENE)], 0, 2),
        ([at(0, 6)], [at(3, 9)], 3 / 9, 6 / 9),
        ([at(0, 4), at(4, 8)], [at(0, 8), at(4, 8)], (1 + 0.5) / 2, (2 - 1.5) / 2),  # best pairs first
        ([PIECES], [at(0, 4)], 0.5, 0.5),
        ([PIECES], [at(5, 9)], 0, 2),  # between the pieces
    ],
)
def test_scores_of_one_document(gold, predicted, f1, slot_error_rate):
    scores = shared_task_scores([gold], [predicted], LEXICON)
    assert (scores["f1"], scores["ser"]) == (pytest.approx(f1), pytest.approx(slot_error_rate))


def test_documents_are_not_mixed():
    scores = shared_task_scores([[at(0, 6)], []], [[], [at(0, 6)]], LEXICON)
    assert (scores["precision"], scores["recall"], scores["ser"]) == (0.0, 0.0, 2.0)
