"""How well concepts are found: on gold spans by folds, and end to end as the CRAFT shared task of 2019 scores it."""

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon import Lexicon
from craft_ray.concepts.scores import Scores, scores_from_counts
from craft_ray.core.labels import ONTOLOGY
from craft_ray.training.craft import GoldDocument
from craft_ray.training.metrics import expected_calibration_error

FOLDS = 10


def corpus_strings(documents: Sequence[GoldDocument]) -> Counter[tuple[str, str]]:
    """How often each string of the gold mentions stands for each id."""
    return Counter(
        (said, concept.concept_id) for d in documents for concept in d.concepts if (said := concept.said(d.text))
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """One gold mention and what it was given; ids are those that the lexicon resolves."""

    label: str
    gold: int
    held: bool
    in_ontology: bool
    concept: int
    step: str
    score: float
    ambiguous: bool

    @property
    def right(self) -> bool:
        """True if the id is the gold one."""
        return self.concept >= 0 and self.concept == self.gold


def answers(
    grounder: Grounder, documents: Sequence[GoldDocument], ontology: Container[str] = frozenset()
) -> list[Answer]:
    """The concept that each gold mention is given if its span is known.

    ontology: the ids that ontologies name, without those that only a corpus has
    """
    lexicon = grounder.lexicon
    rows = [(n, c) for n, d in enumerate(documents) for c in d.concepts]
    mentions = pa.table(
        {
            "label": pa.array([c.label for _, c in rows], pa.string()),
            "mention": pa.array([c.said(documents[n].text) for n, c in rows], pa.string()),
            "row": pa.array([n for n, _ in rows], pa.int64()),
        }
    )
    found = grounder.add_concepts(mentions, [d.text for d in documents])
    gold = lexicon.indices([c.concept_id for _, c in rows])
    concept = np.where(found["concept_id"].is_valid(), lexicon.indices(found["concept_id"].combine_chunks()), -1)
    columns = zip(
        rows,
        gold.tolist(),
        concept.tolist(),
        found["concept_match"].to_pylist(),
        found["concept_score"].to_pylist(),
        found["concept_candidates"].to_pylist(),
        strict=True,
    )
    return [
        Answer(
            c.label,
            g,
            g >= 0,
            g >= 0 and lexicon.ids[g].as_py() in ontology,
            f,
            step or "",
            score or 0.0,
            bool(several),
        )
        for (_, c), g, f, step, score, several in columns
    ]


def by_folds(
    documents: Sequence[GoldDocument],
    lexicon_of: Callable[[Sequence[GoldDocument]], Lexicon],
    prefixes: Mapping[str, Sequence[str]],
    ontology: Container[str],
    folds: int = FOLDS,
) -> list[tuple[Lexicon, list[Answer]]]:
    """The answers for each fold of articles, from a lexicon that was made of the others' strings.

    lexicon_of: makes a lexicon with the strings of some documents
    """
    parts = []
    for fold in range(folds):
        lexicon = lexicon_of([d for n, d in enumerate(documents) if n % folds != fold])
        grounder = Grounder(lexicon, scores_from_counts(lexicon.prefixes, {}), prefixes)
        parts.append((lexicon, answers(grounder, documents[fold::folds], ontology)))
    return parts


def step_counts(found: Sequence[Answer]) -> dict[str, dict[str, list[int]]]:
    """How often each step was right, and asked, by prefix, as `concepts.scores` reads it."""
    counts: dict[str, dict[str, list[int]]] = {}
    for answer in found:
        if answer.concept >= 0:
            step = f"{answer.step} ?" if answer.ambiguous else answer.step
            pair = counts.setdefault(ONTOLOGY[answer.label], {}).setdefault(step, [0, 0])
            pair[0] += answer.right
            pair[1] += 1
    return {prefix: dict(sorted(steps.items())) for prefix, steps in sorted(counts.items())}


def evaluate_gold_spans(
    documents: Sequence[GoldDocument],
    base: LexiconBuilder,
    prefixes: Mapping[str, Sequence[str]],
    with_corpus: bool = True,
) -> tuple[dict[str, Any], dict[str, dict[str, list[int]]]]:
    """The share of gold spans that get the right id, each article by a lexicon that has not seen it.

    Scores are judged likewise: those of a fold are fitted on the other folds.

    base: a builder that has read the ontologies
    with_corpus: whether the strings of the other articles are in the lexicon
    """

    def lexicon_of(others: Sequence[GoldDocument]) -> Lexicon:
        builder = base.copy()
        if with_corpus:
            builder.add_strings(corpus_strings(others))
        return builder.lexicon()

    parts = by_folds(documents, lexicon_of, prefixes, frozenset(base.copy().lexicon().ids.to_pylist()))
    judged: list[Answer] = []
    for fold, (lexicon, mine) in enumerate(parts):
        others = [answer for n, (_, part) in enumerate(parts) if n != fold for answer in part]
        judged += _scored(mine, lexicon, scores_from_counts(lexicon.prefixes, step_counts(others)))
    return _report(judged), step_counts([answer for _, part in parts for answer in part])


def _scored(found: Sequence[Answer], lexicon: Lexicon, scores: Scores) -> list[Answer]:
    from craft_ray.concepts.chain import MATCHES

    number = {name: n for n, name in enumerate(MATCHES)}
    prefix = {name: n for n, name in enumerate(lexicon.prefixes)}
    return [
        replace(a, score=float(scores.share[prefix[ONTOLOGY[a.label]], number[a.step], int(a.ambiguous)]))
        if a.concept >= 0
        else a
        for a in found
    ]


def _report(found: Sequence[Answer]) -> dict[str, Any]:
    labels = {label: [a for a in found if a.label == label] for label in ONTOLOGY}
    return _figures(found) | {"per_label": {label: _figures(mine) for label, mine in labels.items() if mine}}


def _figures(found: Sequence[Answer]) -> dict[str, Any]:
    right = sum(a.right for a in found)
    given = [a for a in found if a.concept >= 0]
    held, in_ontology = sum(a.held for a in found), [a for a in found if a.in_ontology]
    return {
        "mentions": len(found),
        "accuracy": right / len(found),
        "held": held / len(found),
        "accuracy_of_held": right / max(1, held),
        "accuracy_of_ontology": sum(a.right for a in in_ontology) / max(1, len(in_ontology)),
        "without_id": 1 - len(given) / len(found),
        "precision": right / max(1, len(given)),
        "ece": expected_calibration_error(
            np.array([a.score for a in given], np.float32), np.array([a.right for a in given], np.bool_)
        ),
    }
