"""Evaluate the concept ids of gold spans, each document with a lexicon that has not seen it."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.concepts.build import LexiconBuilder
from craft_ray.concepts.chain import MATCHES
from craft_ray.concepts.context import Context
from craft_ray.concepts.forms import is_symbol
from craft_ray.concepts.grounding import Grounder
from craft_ray.concepts.lexicon import Lexicon, equivalents
from craft_ray.concepts.scores import length_class, scores_from_counts, shipped_scores, step_key
from craft_ray.core.labels import ONTOLOGY
from craft_ray.training.corpora import GoldDocument
from craft_ray.training.metrics import expected_calibration_error

FOLDS = 10

SURE = 0.9
"""Score above which at least this share of ids should be right, in any corpus."""

BINS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Edges of the ranges of scores in `calibration`."""

MAX_TITLE = 80
"""Characters by which texts of several corpora are compared, which differ in blanks alone."""

LETTER_DOCUMENTS = 4
"""Documents that must use a single letter for a concept."""


def corpus_strings(documents: Sequence[GoldDocument]) -> Counter[tuple[str, str]]:
    """Occurrences of each pair of a gold mention's text and its concept id.

    Left out are strings that say little about other documents: symbols in a single one, abbreviations that a single one
    has and defines, and letters in less than LETTER_DOCUMENTS.
    """
    found: Counter[tuple[str, str]] = Counter()
    documents_of: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    needed: dict[str, int] = {}
    for number, document in enumerate(documents):
        context = Context(document.text)
        for concept in document.concepts:
            surface = concept.surface(document.text)
            found[surface, concept.concept_id] += 1
            documents_of[surface, concept.concept_id].add(number)
            if len(surface) == 1:
                needed[surface] = LETTER_DOCUMENTS
            elif is_symbol(surface) or context.long_form(surface):
                needed[surface] = 2
    return Counter({pair: n for pair, n in found.items() if len(documents_of[pair]) >= needed.get(pair[0], 1)})


@dataclass(frozen=True, slots=True)
class Corpora:
    """Documents with gold ids.

    others: corpora beside CRAFT, by name
    labels: labels of which the strings of these are used
    """

    craft: Sequence[GoldDocument] = ()
    others: Mapping[str, Sequence[GoldDocument]] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()

    def strings(self, without_fold: int | None = None) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
        """`corpus_strings` of CRAFT, and of the other corpora; a lexicon prefers the former.

        without_fold: leave out the documents of this fold
        """
        others = (d for documents in self.others.values() for d in documents)
        of_labels = (replace(d, concepts=tuple(c for c in d.concepts if c.label in self.labels)) for d in others)
        craft, elsewhere = ([d for d in some if fold_of(d) != without_fold] for some in (self.craft, of_labels))
        return corpus_strings(craft), corpus_strings(elsewhere)


def fold_of(document: GoldDocument) -> int:
    """The fold of a document, below FOLDS. A text that several corpora have is in the same fold in all of them."""
    letters = "".join(filter(str.isalnum, document.text[:MAX_TITLE].casefold()))
    return zlib.crc32(letters.encode()) % FOLDS


@dataclass(frozen=True, slots=True)
class Grounded:
    """The concept found for one gold mention.

    gold:          numbers of the concepts in the lexicon that the gold id means; empty if it lacks them
    concept:       number of the concept that was found; negative if there is none
    prefix:        of that concept
    in_ontology:   whether an ontology has the gold id, and not only a corpus
    match:         the kind of look-up that found the concept
    length:        index in `scores.LENGTHS`
    ambiguous:     whether several concepts fit equally well
    """

    label: str
    gold: frozenset[int]
    in_ontology: bool
    concept: int
    prefix: str
    match: str
    length: int
    score: float
    ambiguous: bool

    @property
    def correct(self) -> bool:
        return self.concept in self.gold


def evaluate_gold_spans(
    corpora: Corpora, base: LexiconBuilder, prefixes: Mapping[str, Sequence[str]], with_corpus: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Cross-validate the ids of gold spans over documents.

    base:        a builder that has read the ontologies
    with_corpus: whether the strings of the other documents are in the lexicon

    Returns the figures, and `match_counts` of CRAFT (`CRAFT`) and of each other corpus (`others`). Scores of CRAFT are
    fitted on the other folds, those of the other corpora are the shipped ones. `corpora` has figures of the latter by
    label, of spans whose ids the lexicon has, itself or by a cross-reference; `without_equivalent` counts the others.
    `sure` are ids with a score above SURE, and `sure_precision` is the share of them that is right.
    """
    lexicon = base.copy().lexicon()
    ontology = frozenset(lexicon.ids.to_pylist())
    named = {"CRAFT": corpora.craft, **corpora.others}
    folds: dict[str, list[list[Grounded]]] = {name: [] for name in named}
    for fold in range(FOLDS):
        if with_corpus:
            builder = base.copy()
            for strings in corpora.strings(without_fold=fold):
                builder.add_strings(strings)
            lexicon = builder.lexicon()
        grounder = Grounder(lexicon, shipped_scores(lexicon.prefixes, with_corpus), prefixes)
        for name, documents in named.items():
            part = [d for d in documents if fold_of(d) == fold]
            folds[name].append(ground_gold_spans(grounder, part, ontology))
    craft = folds.pop("CRAFT")
    scored: list[Grounded] = []
    for fold, found in enumerate(craft):
        others = [grounded for n, part in enumerate(craft) if n != fold for grounded in part]
        scored += _with_scores(found, lexicon, scores_from_counts(lexicon.prefixes, match_counts(others)))
    figures = {
        **_figures(scored),
        "per_label": {label: _figures(found) for label, found in _by_label(scored).items()},
        "corpora": {name: _figures_elsewhere(_flat(found)) for name, found in folds.items()},
    }
    counts = {
        "CRAFT": match_counts(_flat(craft)),
        "others": {name: match_counts([g for g in _flat(found) if g.gold]) for name, found in folds.items()},
    }
    return figures, counts


def _flat(folds: Iterable[Iterable[Grounded]]) -> list[Grounded]:
    """The mentions of all folds whose labels have an ontology."""
    return [grounded for part in folds for grounded in part if grounded.label in ONTOLOGY]


def _by_label(found: Sequence[Grounded]) -> dict[str, list[Grounded]]:
    by_label = {label: [grounded for grounded in found if grounded.label == label] for label in ONTOLOGY}
    return {label: some for label, some in by_label.items() if some}


def _figures_elsewhere(found: Sequence[Grounded]) -> dict[str, dict[str, Any]]:
    figures = {}
    for label, some in _by_label(found).items():
        if known := [grounded for grounded in some if grounded.gold]:
            sure = [grounded.correct for grounded in known if grounded.score > SURE and grounded.concept >= 0]
            figures[label] = _figures(known) | {
                "calibration": calibration(known),
                "without_equivalent": len(some) - len(known),
                "sure": len(sure),
                "sure_precision": sum(sure) / max(1, len(sure)),
            }
    return figures


def calibration(found: Sequence[Grounded]) -> list[dict[str, float]]:
    """Number of ids and share of right ones, by ranges of their scores up to and including `to`."""
    given = [grounded for grounded in found if grounded.concept >= 0]
    which = np.digitize([grounded.score for grounded in given], BINS[1:-1], right=True)
    count, right = (np.bincount(which, some, len(BINS) - 1) for some in (None, [g.correct for g in given]))
    columns = zip(BINS[1:], count.tolist(), (right / np.maximum(count, 1)).tolist(), strict=True)
    return [{"to": to, "ids": ids, "right": share} for to, ids, share in columns]


def ground_gold_spans(
    grounder: Grounder, documents: Sequence[GoldDocument], ontology: Container[str] = frozenset()
) -> list[Grounded]:
    """Look up each gold mention. `ontology` has the ids of ontologies, without those that only a corpus has."""
    lexicon = grounder.lexicon
    concepts = [(row, concept) for row, document in enumerate(documents) for concept in document.concepts]
    mentions = pa.table(
        {
            "label": pa.array([c.label for _, c in concepts], pa.string()),
            "mention": pa.array([c.surface(documents[row].text) for row, c in concepts], pa.string()),
            "row": pa.array([row for row, _ in concepts], pa.int64()),
            "start": pa.array([concept.pieces[0][0] for _, concept in concepts], pa.int64()),
        }
    )
    found = grounder.add_concepts(mentions, [d.text for d in documents])
    gold = equivalents(lexicon, [c.concept_id for _, c in concepts])
    concept = np.where(found["concept_id"].is_valid(), lexicon.indices(found["concept_id"].combine_chunks()), -1)
    return [
        Grounded(
            label=gold_concept.label,
            gold=meant,
            in_ontology=any(lexicon.ids[one].as_py() in ontology for one in meant),
            concept=number,
            prefix=lexicon.prefixes[lexicon.ontology[number]] if number >= 0 else "",
            match=match or "",
            length=int(length_class(len(mention))),
            score=score or 0.0,
            ambiguous=bool(candidates),
        )
        for (_, gold_concept), mention, meant, number, match, score, candidates in zip(
            concepts,
            mentions["mention"].to_pylist(),
            gold,
            concept.tolist(),
            found["concept_match"].to_pylist(),
            found["concept_score"].to_pylist(),
            found["concept_candidates"].to_pylist(),
            strict=True,
        )
    ]


def match_counts(found: Sequence[Grounded]) -> dict[str, dict[str, list[int]]]:
    """Numbers of correct and of all concepts, by prefix and kind of match, in the form that `concepts.scores` reads."""
    counts: dict[str, dict[str, list[int]]] = {}
    for grounded in found:
        if grounded.concept >= 0:
            key = step_key(grounded.match, grounded.length, grounded.ambiguous)
            pair = counts.setdefault(grounded.prefix, {}).setdefault(key, [0, 0])
            pair[0] += grounded.correct
            pair[1] += 1
    return {prefix: dict(sorted(matches.items())) for prefix, matches in sorted(counts.items())}


def _with_scores(found: Sequence[Grounded], lexicon: Lexicon, scores: NDArray[np.float32]) -> list[Grounded]:
    match = {name: n for n, name in enumerate(MATCHES)}
    prefix = {name: n for n, name in enumerate(lexicon.prefixes)}
    return [
        replace(g, score=float(scores[prefix[g.prefix], match[g.match], g.length, int(g.ambiguous)]))
        if g.concept >= 0
        else g
        for g in found
    ]


def _figures(found: Sequence[Grounded]) -> dict[str, Any]:
    correct = sum(g.correct for g in found)
    with_id = [g for g in found if g.concept >= 0]
    in_lexicon, in_ontology = sum(bool(g.gold) for g in found), [g for g in found if g.in_ontology]
    return {
        "mentions": len(found),
        "accuracy": correct / len(found),
        "in_lexicon": in_lexicon / len(found),
        "accuracy_in_lexicon": correct / max(1, in_lexicon),
        "accuracy_of_ontology": sum(g.correct for g in in_ontology) / max(1, len(in_ontology)),
        "without_id": 1 - len(with_id) / len(found),
        "precision": correct / max(1, len(with_id)),
        "ece": expected_calibration_error(
            np.array([g.score for g in with_id], np.float32), np.array([g.correct for g in with_id], np.bool_)
        ),
    }
