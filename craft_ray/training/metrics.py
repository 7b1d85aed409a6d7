"""Figures of merit for mentions: precision, recall and F1, what was taken for what, and how honest the scores are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from craft_ray.model.tags import Spans


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


def is_right(gold: Spans, predicted: Spans) -> NDArray[np.bool_]:
    """(predicted,): whether each predicted mention has a gold one with the same first and last word and label."""
    width = int(max(gold.last.max(initial=0), predicted.last.max(initial=0))) + 1
    return np.isin(_codes(predicted, width), _codes(gold, width))


def overlaps(spans: Spans, others: Spans) -> NDArray[np.bool_]:
    """(spans,): whether each mention shares a word with one of the others that has the same label."""
    found = np.zeros(len(spans.first), np.bool_)
    for label in np.unique(spans.label):
        mine, theirs = np.flatnonzero(spans.label == label), np.flatnonzero(others.label == label)
        if not len(theirs):
            continue
        theirs = theirs[np.argsort(others.first[theirs], kind="stable")]
        reach = np.maximum.accumulate(others.last[theirs])
        before = np.searchsorted(others.first[theirs], spans.last[mine], side="right")
        found[mine] = (before > 0) & (reach[np.maximum(before, 1) - 1] >= spans.first[mine])
    return found


def score_relaxed(gold: Spans, predicted: Spans, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each label, and of `all`, where a mention of the same label that overlaps counts.

    A mention of gold may make several predictions right, and the other way round.
    """
    right, found = overlaps(predicted, gold), overlaps(gold, predicted)
    parts = {name: (predicted.label == number, gold.label == number) for number, name in enumerate(names)}
    everything = np.ones(len(right), np.bool_), np.ones(len(found), np.bool_)
    return {
        name: _relaxed(right[of_predicted], found[of_gold])
        for name, (of_predicted, of_gold) in [*parts.items(), ("all", everything)]
    }


def _relaxed(right: NDArray[np.bool_], found: NDArray[np.bool_]) -> dict[str, float]:
    precision, recall = (float(side.mean()) if len(side) else 0.0 for side in (right, found))
    both = precision + recall
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / both if both else 0.0}


def _codes(spans: Spans, width: int) -> NDArray[np.int64]:
    """One number for each mention, equal for equal mentions."""
    codes: NDArray[np.int64] = (spans.first * width + spans.last) * 128 + spans.label
    return codes


def score_by_label(
    gold: Spans,
    predicted: Spans,
    names: Sequence[str],
    gold_kept: NDArray[np.bool_] | None = None,
    predicted_kept: NDArray[np.bool_] | None = None,
) -> dict[str, Counts]:
    """Counts for each label name; their sum is the micro count.

    gold_kept, predicted_kept: which mentions to count, all if None.
    """
    right = is_right(gold, predicted)
    gold_label = gold.label if gold_kept is None else gold.label[gold_kept]
    kept = np.ones(len(right), np.bool_) if predicted_kept is None else predicted_kept
    count = len(names)
    columns = (
        np.bincount(predicted.label[kept & right], minlength=count),
        np.bincount(predicted.label[kept], minlength=count),
        np.bincount(gold_label, minlength=count),
    )
    return {name: Counts(*(int(column[i]) for column in columns)) for i, name in enumerate(names)}


def total(by_label: Iterable[Counts]) -> Counts:
    """The micro count."""
    return sum(by_label, Counts())


def confusion(gold: Spans, predicted: Spans, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Confusion: predictions for the gold mentions of each label, and the labels of spurious predictions.

    A row for each gold label: how many were predicted with exactly their words as each label, how many only `partly`
    (a predicted mention shares a word with them, but not all), and how many were `missed`. The row `nothing` has the
    predictions that share no word with any gold mention.
    """
    result = {name: dict.fromkeys((*names, "partly", "missed"), 0) for name in names}
    result["nothing"] = dict.fromkeys(names, 0)
    same = {(int(a), int(b)): int(label) for a, b, label in predicted.rows()}
    size = int(max(gold.last.max(initial=-1), predicted.last.max(initial=-1))) + 1
    touched = _touching(gold, predicted, size)
    for (first, last, label), touch in zip(gold.rows().tolist(), touched, strict=True):
        found = same.get((first, last))
        column = names[found] if found is not None else "partly" if touch else "missed"
        result[names[label]][column] += 1
    for label in predicted.label[~_touching(predicted, gold, size)].tolist():
        result["nothing"][names[label]] += 1
    return result


def _touching(spans: Spans, others: Spans, size: int) -> NDArray[np.bool_]:
    """True for each of `spans` that shares a word with any of `others`."""
    covered = np.zeros(size + 1, np.int64)
    np.add.at(covered, others.first, 1)
    np.add.at(covered, others.last + 1, -1)
    words = np.concatenate([[0], np.cumsum(np.cumsum(covered[:-1]) > 0)])
    shared: NDArray[np.bool_] = words[spans.last + 1] > words[spans.first]
    return shared


def expected_calibration_error(score: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean distance between the scores and the share that is right, over bins of equal width weighted by their size.

    Guo et al. 2017, "On calibration of modern neural networks", equation 3. 0 for no mentions.
    """
    if len(score) == 0:
        return 0.0
    number = np.minimum((score * bins).astype(np.int64), bins - 1)
    difference = np.bincount(number, weights=score - right, minlength=bins)
    return float(np.abs(difference).sum() / len(score))
