"""The card of a trained checkpoint."""

import pytest

from craft_ray.core.descriptions import descriptions_of
from craft_ray.training.model_card import TrainingResult, model_card

FIGURES = {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "support": 2}


@pytest.mark.parametrize(
    ("labels", "row", "names_components"),
    [
        (["Disease"], "| Disease | MONDO | diseases | 1.0000 | 0.5000 | 0.6667 | 2 |", False),
        (["Sequence", "Gene"], "| Gene | GO | GO cellular components: nuclear", True),
        (["Gene", "Variant"], "| Gene |  |  | 1.0000", False),
    ],
)
def test_labels_of_a_card(labels: list[str], row: str, names_components: bool):
    scores = FIGURES | {"loss": 0.1, "accuracy": 0.9, "ece": 0.02, "per_label": dict.fromkeys(labels, FIGURES)}
    scores |= {"seen": FIGURES, "unseen": FIGURES}
    result = TrainingResult({"base": "craft", "train": "notes (3 sentences)"}, {}, {}, [], scores, scores)
    card = model_card(result, descriptions_of(labels))
    assert row in card
    assert ("not genes" in card) == names_components
