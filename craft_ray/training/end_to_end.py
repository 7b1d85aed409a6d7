"""Mentions and ids end to end, from raw text: exact spans, exact spans and ids, and the shared task's own measure."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from craft_ray.concepts.hierarchy import wang_similarity
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.core.schema import Document, Entity, document_of
from craft_ray.training.craft import GoldDocument
from craft_ray.training.metrics import Counts, total


def evaluate_concepts(
    tag: Callable[[Sequence[Document]], Sequence[Sequence[Entity]]], lexicon: Lexicon, gold: Sequence[GoldDocument]
) -> dict[str, Any]:
    """The whole path against standoff with ids, by label and in all.

    `span` counts a mention of one piece as right if its span and label are gold's, `id` if its id is too; `shared_task`
    is the official measure of 2019, over mentions of several pieces as well. Ids that the lexicon knows as older ones
    count as the newer. Of predictions without an id, the official measure knows nothing.

    tag: finds entities with the concepts of the lexicon, as `Tagger.tag_documents` does
    """
    documents = [document_of(d.doc_id, d.text) for d in gold]
    found = tag(documents)
    number = _Numbers(lexicon, gold, found)
    labels = sorted({concept.label for document in gold for concept in document.concepts})
    rows = {label: _of_label(label, gold, found, number, lexicon) for label in labels}
    return {
        "per_label": {label: row.report() for label, row in rows.items()},
        "span": total(row.spans for row in rows.values()).report(),
        "id": total(row.ids for row in rows.values()).report(),
        "documents": len(gold),
        "lexicon": lexicon.fingerprint,
    }


@dataclass(frozen=True, slots=True)
class LabelScores:
    """Figures of one label: exact spans, with ids, the shared task's, and the share of mentions without an id."""

    spans: Counts
    ids: Counts
    shared_task: dict[str, float]
    without_id: float

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "span": self.spans.report(),
            "id": self.ids.report(),
            "shared_task": self.shared_task,
            "without_id": self.without_id,
        }


class _Numbers:
    """The concept of each id that gold or a prediction has; ids that the lexicon has not have numbers below 0."""

    def __init__(self, lexicon: Lexicon, gold: Sequence[GoldDocument], found: Sequence[Sequence[Entity]]) -> None:
        ids = sorted(
            {c.concept_id for d in gold for c in d.concepts}
            | {e.concept_id for es in found for e in es if e.concept_id}
        )
        numbers = lexicon.indices(ids).tolist()
        self._of = {
            id_: known if known >= 0 else -2 - n for n, (id_, known) in enumerate(zip(ids, numbers, strict=True))
        }

    def __getitem__(self, concept_id: str | None) -> int:
        return -1 if concept_id is None else self._of[concept_id]


def _of_label(
    label: str,
    gold: Sequence[GoldDocument],
    found: Sequence[Sequence[Entity]],
    number: _Numbers,
    lexicon: Lexicon,
) -> LabelScores:
    """The figures of one label."""
    wanted = [[c for c in document.concepts if c.label == label] for document in gold]
    given = [[e for e in entities if e.label == label] for entities in found]
    spans, ids = Counts(), Counts()
    for mine, theirs in zip(wanted, given, strict=True):
        whole = {(c.pieces[0], number[c.concept_id]) for c in mine if len(c.pieces) == 1}
        predicted = {((e.start, e.end), number[e.concept_id]) for e in theirs}
        spans = spans + _compared({span for span, _ in whole}, {span for span, _ in predicted})
        ids = ids + _compared(whole, predicted)
    official = shared_task_scores(
        [[Annotation(c.pieces, n) for c in mine if (n := number[c.concept_id]) >= 0] for mine in wanted],
        [[Annotation(((e.start, e.end),), n) for e in theirs if (n := number[e.concept_id]) >= 0] for theirs in given],
        lexicon,
    )
    every = Counter(e.concept_id is None for theirs in given for e in theirs)
    return LabelScores(spans, ids, official, every[True] / max(1, every.total()))


def _compared(gold: Set[Any], predicted: Set[Any]) -> Counts:
    return Counts(len(gold & predicted), len(predicted), len(gold))


@dataclass(frozen=True, slots=True)
class Annotation:
    """A span with a class, as the shared task compares them.

    pieces:  where it stands, in order
    concept: the number of its class in a lexicon
    """

    pieces: tuple[tuple[int, int], ...]
    concept: int

    @property
    def start(self) -> int:
        """Where its first piece begins."""
        return self.pieces[0][0]

    @property
    def end(self) -> int:
        """Where its last piece ends."""
        return self.pieces[-1][1]


def shared_task_scores(
    gold: Sequence[Sequence[Annotation]], predicted: Sequence[Sequence[Annotation]], lexicon: Lexicon
) -> dict[str, float]:
    """F1 and slot error rate of the CRAFT shared task of 2019, one list of annotations per document.

    Every overlapping pair counts Jaccard index of characters times Wang similarity of classes; the best pairs are taken
    first, one to one. With M their sum, precision is M / predicted and recall M / gold; the slot error rate is
    (substitutions + insertions + deletions) / gold, with substitutions = gold - deletions - M.
    """
    matched, pairs = 0.0, 0
    for mine, theirs in zip(gold, predicted, strict=True):
        for score in _best_pairs(mine, theirs, lexicon):
            matched, pairs = matched + score, pairs + 1
    n_gold, n_predicted = sum(map(len, gold)), sum(map(len, predicted))
    deletions, insertions = n_gold - pairs, n_predicted - pairs
    precision, recall = matched / max(1, n_predicted), matched / max(1, n_gold)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if matched else 0.0,
        "ser": (n_gold - deletions - matched + insertions + deletions) / max(1, n_gold),
    }


def _best_pairs(gold: Sequence[Annotation], predicted: Sequence[Annotation], lexicon: Lexicon) -> list[float]:
    pairs = []
    by_start = sorted(range(len(predicted)), key=lambda n: predicted[n].start)
    longest = max((p.end - p.start for p in predicted), default=0)
    starts = [predicted[n].start for n in by_start]
    for number, g in enumerate(gold):
        first, last = np.searchsorted(starts, [g.start - longest, g.end])
        for n in by_start[first:last]:
            p = predicted[n]
            if overlap := _jaccard(g, p):
                near = 1.0 if g.concept == p.concept else wang_similarity(lexicon, g.concept, p.concept)
                pairs.append((overlap * near, number, n))
    scores, used, taken = [], set[int](), set[int]()
    for score, number, n in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if score > 0 and number not in used and n not in taken:
            used.add(number)
            taken.add(n)
            scores.append(score)
    return scores


def _jaccard(one: Annotation, other: Annotation) -> float:
    """The share of characters that two annotations have in common, of those that either has."""
    shared = sum(max(0, min(end, stop) - max(start, at)) for start, end in one.pieces for at, stop in other.pieces)
    return shared / (sum(end - start for a in (one, other) for start, end in a.pieces) - shared)
