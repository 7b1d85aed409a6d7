"""Evaluate mentions and concept ids from raw text: exact spans, exact spans and ids, and the shared task's measure."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from craft_ray.concepts.hierarchy import wang_similarity
from craft_ray.concepts.lexicon import Lexicon, equivalents
from craft_ray.core.schema import Document, Entity, document_of
from craft_ray.training.corpora import GoldDocument
from craft_ray.training.metrics import Counts, total

MISSING = -1
"""Number of the concept of a prediction without an id."""


def evaluate_concepts(
    tag: Callable[[Sequence[Document]], Sequence[Sequence[Entity]]], lexicon: Lexicon, gold: Sequence[GoldDocument]
) -> dict[str, Any]:
    """Evaluate mentions with ids, by label and in total.

    `span` counts a contiguous mention as correct if its span and label are gold's, `id` if its id is too. `shared_task`
    is the official measure of 2019, which covers discontinuous mentions and ignores predictions without an id. Outdated
    ids count as their replacements in the lexicon, and ids of other vocabularies as the concepts that refer to them.
    `linked` is the share of right ids among right spans whose gold any concept refers to, `no_equivalent` the number of
    other right spans. `genes` is the share of right spans of known genes that have gold's `gene_id`.

    tag: finds entities with concepts of the lexicon, as `Tagger.tag_documents` does
    """
    found = tag([document_of(d.doc_id, d.text) for d in gold])
    predicted = sorted({entity.concept_id for entities in found for entity in entities if entity.concept_id})
    numbers = {None: MISSING} | dict(zip(predicted, lexicon.indices(predicted).tolist(), strict=True))
    ids = sorted({concept.concept_id for document in gold for concept in document.concepts})
    # Gold ids that the lexicon lacks have a number below MISSING.
    meant = {
        id_: some or frozenset({MISSING - 1 - n})
        for n, (id_, some) in enumerate(zip(ids, equivalents(lexicon, ids), strict=True))
    }
    parts = sorted({part for id_ in ids for part in id_.split("|")})
    indices = zip(parts, lexicon.indices(parts).tolist(), strict=True)
    known = {part for part, number in indices if number >= 0 and lexicon.taxon[number] > 1}
    genes = {id_ for id_ in ids if not known.isdisjoint(id_.split("|"))}
    labels = sorted({concept.label for document in gold for concept in document.concepts})
    scores = {label: _score_label(label, gold, found, meant, genes, numbers, lexicon) for label in labels}
    return {
        "per_label": {
            label: {"span": spans.report(), "id": ids.report(), **others}
            for label, (spans, ids, others) in scores.items()
        },
        "span": total(spans for spans, _, _ in scores.values()).report(),
        "id": total(ids for _, ids, _ in scores.values()).report(),
        "documents": len(gold),
        "lexicon": lexicon.fingerprint,
    }


@dataclass(frozen=True, slots=True)
class ConceptSpan:
    """A mention with its concept, for the shared task's measure.

    pieces:  (start, end) of each part, in order
    concept: number of the concept in a lexicon
    """

    pieces: tuple[tuple[int, int], ...]
    concept: int

    @property
    def start(self) -> int:
        return self.pieces[0][0]

    @property
    def end(self) -> int:
        return self.pieces[-1][1]


def _score_label(
    label: str,
    gold: Sequence[GoldDocument],
    found: Sequence[Sequence[Entity]],
    meant: Mapping[str, frozenset[int]],
    genes: Set[str],
    numbers: Mapping[str | None, int],
    lexicon: Lexicon,
) -> tuple[Counts, Counts, dict[str, Any]]:
    """Counts of spans and of spans with ids, and other figures; `without_id` is a share of the predictions."""
    predictions = [[e for e in entities if e.label == label] for entities in found]
    spans, ids, known, right, unknown = Counts(), Counts(), 0, 0, 0
    right_genes: list[bool] = []
    gold_spans: list[list[ConceptSpan]] = []
    for document, entities in zip(gold, predictions, strict=True):
        by_span: dict[tuple[int, int], set[int]] = {}
        for entity in entities:
            by_span.setdefault((entity.start, entity.end), set()).add(numbers[entity.concept_id])
        concepts = [concept for concept in document.concepts if concept.label == label]
        # Of several concepts that gold's id means, the predicted one counts.
        number = [min(meant[c.concept_id] & by_span.get(c.pieces[0], set()) or meant[c.concept_id]) for c in concepts]
        contiguous = {(c.pieces[0], n) for c, n in zip(concepts, number, strict=True) if len(c.pieces) == 1}
        gold_spans.append([ConceptSpan(c.pieces, n) for c, n in zip(concepts, number, strict=True) if n >= 0])
        predicted = {(span, n) for span, some in by_span.items() for n in some}
        spans += _compare({span for span, _ in contiguous}, set(by_span))
        ids += _compare(contiguous, predicted)
        gene_of = {(entity.start, entity.end): entity.gene_id for entity in entities}
        right_genes += [
            gene_of[c.pieces[0]] in c.concept_id.split("|")
            for c in concepts
            if c.concept_id in genes and c.pieces[0] in gene_of
        ]
        found_spans = [(span, n) for span, n in contiguous if span in by_span]
        known += sum(n >= 0 for _, n in found_spans)
        unknown += sum(n < 0 for _, n in found_spans)
        right += sum(pair in predicted for pair in found_spans)
    predicted_spans = [
        [ConceptSpan(((e.start, e.end),), n) for e in entities if (n := numbers[e.concept_id]) >= 0]
        for entities in predictions
    ]
    without_id = [entity.concept_id is None for entities in predictions for entity in entities]
    return (
        spans,
        ids,
        {
            "shared_task": shared_task_scores(gold_spans, predicted_spans, lexicon),
            "without_id": sum(without_id) / max(1, len(without_id)),
            "linked": right / max(1, known),
            "no_equivalent": unknown,
            "genes": sum(right_genes) / max(1, len(right_genes)),
        },
    )


def _compare(gold: Set[Any], predicted: Set[Any]) -> Counts:
    return Counts(len(gold & predicted), len(predicted), len(gold))


def shared_task_scores(
    gold: Sequence[Sequence[ConceptSpan]], predicted: Sequence[Sequence[ConceptSpan]], lexicon: Lexicon
) -> dict[str, float]:
    """F1 and slot error rate of the CRAFT shared task of 2019, for one list of spans per document.

    An overlapping pair scores the Jaccard index of its characters times the Wang similarity of its concepts; pairs are
    chosen one to one, best first. With M the sum of their scores, precision is M / predicted and recall M / gold; the
    slot error rate is (substitutions + insertions + deletions) / gold, with substitutions = gold - deletions - M.
    """
    matched, pairs = 0.0, 0
    for of_gold, of_predicted in zip(gold, predicted, strict=True):
        for score in _best_pairs(of_gold, of_predicted, lexicon):
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


def _best_pairs(gold: Sequence[ConceptSpan], predicted: Sequence[ConceptSpan], lexicon: Lexicon) -> list[float]:
    """Scores of the chosen pairs."""
    pairs = []
    by_start = sorted(range(len(predicted)), key=lambda n: predicted[n].start)
    starts = [predicted[n].start for n in by_start]
    longest = max((p.end - p.start for p in predicted), default=0)
    for number, g in enumerate(gold):
        first, last = np.searchsorted(starts, [g.start - longest, g.end])
        for n in by_start[first:last]:
            p = predicted[n]
            if overlap := _jaccard(g, p):
                similarity = 1.0 if g.concept == p.concept else wang_similarity(lexicon, g.concept, p.concept)
                pairs.append((overlap * similarity, number, n))
    scores, used_gold, used_predicted = [], set[int](), set[int]()
    for score, number, n in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if score > 0 and number not in used_gold and n not in used_predicted:
            used_gold.add(number)
            used_predicted.add(n)
            scores.append(score)
    return scores


def _jaccard(one: ConceptSpan, other: ConceptSpan) -> float:
    """Characters that both spans have, as a share of those that either has."""
    shared = sum(max(0, min(end, stop) - max(start, at)) for start, end in one.pieces for at, stop in other.pieces)
    return shared / (sum(end - start for span in (one, other) for start, end in span.pieces) - shared)
