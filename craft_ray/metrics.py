"""Precision, recall and F1 of mentions: counts that add, so that parts can be scored apart and summed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from craft_ray.spans import Spans


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, predicted and gold mentions; adds."""

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.correct + other.correct, self.predicted + other.predicted, self.gold + other.gold)

    @property
    def precision(self) -> float:
        """Share of the predicted mentions that are right; 0 where none is predicted, as seqeval has it."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold mentions that are found; 0 where there are none."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.predicted + self.gold
        return 2 * self.correct / total if total else 0.0

    def report(self) -> dict[str, float | int]:
        """For JSON: precision, recall, f1 and support (gold mentions)."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "support": self.gold}


def count_mentions(gold: Iterable[tuple[int, ...]], predicted: Iterable[tuple[int, ...]]) -> Counts:
    """Compare two sets of mentions; a mention is right if its whole key is equal."""
    gold, predicted = set(gold), set(predicted)
    return Counts(len(gold & predicted), len(predicted), len(gold))


def score_by_label(gold: Spans, predicted: Spans, names: Sequence[str]) -> dict[str, Counts]:
    """Counts for each label name; their sum is the micro count."""
    result = {}
    for number, name in enumerate(names):
        result[name] = count_mentions(
            map(tuple, gold.keys()[gold.label == number].tolist()),
            map(tuple, predicted.keys()[predicted.label == number].tolist()),
        )
    return result
