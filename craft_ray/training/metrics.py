"""Precision, recall and F1 of mentions, a confusion table, and the calibration error of scores."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.tags import Spans


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of true positives, predicted mentions and gold mentions. Counts can be added."""

    correct: int = 0
    predicted: int = 0
    gold: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.correct + other.correct, self.predicted + other.predicted, self.gold + other.gold)

    @property
    def precision(self) -> float:
        """0 if nothing is predicted, as in `seqeval`."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """0 if there are no gold mentions."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        total = self.predicted + self.gold
        return 2 * self.correct / total if total else 0.0

    def report(self) -> dict[str, float | int]:
        """Precision, recall, F1 and support (number of gold mentions), for JSON."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "support": self.gold}


def total(counts: Iterable[Counts]) -> Counts:
    """The micro count."""
    return sum(counts, Counts())


def is_correct(gold: Spans, predicted: Spans) -> NDArray[np.bool_]:
    """(predicted,) True if a gold mention has the same first and last word and label."""
    width = int(max(gold.last.max(initial=0), predicted.last.max(initial=0))) + 1
    return np.isin(_codes(predicted, width), _codes(gold, width))


def _codes(spans: Spans, width: int) -> NDArray[np.int64]:
    """A unique number per mention; labels are below 128."""
    codes: NDArray[np.int64] = (spans.first * width + spans.last) * 128 + spans.label
    return codes


def score_by_label(gold: Spans, predicted: Spans, names: Sequence[str]) -> dict[str, Counts]:
    """Counts by label name."""
    labels = predicted.label[is_correct(gold, predicted)], predicted.label, gold.label
    columns = [np.bincount(label, minlength=len(names)).tolist() for label in labels]
    return {name: Counts(*counts) for name, *counts in zip(names, *columns, strict=True)}


def overlaps(spans: Spans, others: Spans) -> NDArray[np.bool_]:
    """(spans,) True if the mention shares a word with one of the others that has the same label."""
    found = np.zeros(len(spans.first), np.bool_)
    for label in np.unique(spans.label):
        mine, theirs = np.flatnonzero(spans.label == label), np.flatnonzero(others.label == label)
        if not len(theirs):
            continue
        theirs = theirs[np.argsort(others.first[theirs], kind="stable")]
        furthest = np.maximum.accumulate(others.last[theirs])
        before = np.searchsorted(others.first[theirs], spans.last[mine], side="right")
        found[mine] = (before > 0) & (furthest[np.maximum(before, 1) - 1] >= spans.first[mine])
    return found


def score_relaxed(gold: Spans, predicted: Spans, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 by label, and for `all`, where an overlapping mention of the same label is correct.

    One gold mention can make several predictions correct, and vice versa.
    """
    correct, found = overlaps(predicted, gold), overlaps(gold, predicted)
    parts = {name: (predicted.label == number, gold.label == number) for number, name in enumerate(names)}
    parts["all"] = np.ones(len(correct), np.bool_), np.ones(len(found), np.bool_)
    scores = {}
    for name, (of_predicted, of_gold) in parts.items():
        sides = correct[of_predicted], found[of_gold]
        precision, recall = (float(side.mean()) if len(side) else 0.0 for side in sides)
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        scores[name] = {"precision": precision, "recall": recall, "f1": f1}
    return scores


def confusion(gold: Spans, predicted: Spans, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """A row per gold label: how many of its mentions were predicted with the same words as each label.

    Further columns count those that were found only `partly` (a predicted mention shares a word) and those `missed`.
    The row `nothing` counts predictions that share no word with any gold mention.
    """
    result = {name: dict.fromkeys((*names, "partly", "missed"), 0) for name in names}
    result["nothing"] = dict.fromkeys(names, 0)
    label_of = {(first, last): label for first, last, label in predicted.rows().tolist()}
    for (first, last, label), touch in zip(gold.rows().tolist(), _touching(gold, predicted), strict=True):
        found = label_of.get((first, last))
        column = names[found] if found is not None else "partly" if touch else "missed"
        result[names[label]][column] += 1
    for label in predicted.label[~_touching(predicted, gold)].tolist():
        result["nothing"][names[label]] += 1
    return result


def _touching(spans: Spans, others: Spans) -> NDArray[np.bool_]:
    """(spans,) True if the mention shares a word with any of the others, whatever its label."""
    return overlaps(*(Spans(side.first, side.last, np.zeros_like(side.label)) for side in (spans, others)))


def expected_calibration_error(score: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean difference between score and share of correct mentions, over bins of equal width weighted by their size.

    Guo et al. 2017, "On calibration of modern neural networks", equation 3. 0 if there are no mentions.
    """
    if len(score) == 0:
        return 0.0
    number = np.minimum((score * bins).astype(np.int64), bins - 1)
    difference = np.bincount(number, weights=score - correct, minlength=bins)
    return float(np.abs(difference).sum() / len(score))
