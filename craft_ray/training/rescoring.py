"""Fit how a model's mentions are scored anew (see `concepts.rescoring`), on articles that it has not learnt.

Whole articles are seldom what is annotated, so the same articles are also read in pieces of several lengths, each
piece as a document of its own. The figures come from fits that left out the article that they score.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.concepts.rescoring import FEATURES, Rescoring, features
from craft_ray.core.errors import SettingsError
from craft_ray.core.odds import probability
from craft_ray.core.schema import Document, Entity, document_of
from craft_ray.model.sentences import sentence_spans
from craft_ray.training.craft import GoldDocument
from craft_ray.training.metrics import expected_calibration_error

PIECES = (None, 6000, 1500, 300)
"""Characters of the pieces that articles are read in; None for whole ones. 1,500 are an abstract's."""

THRESHOLDS = tuple(round(0.1 + 0.01 * n, 2) for n in range(46))
"""Thresholds to choose from."""

GIVEN_UP = 0.005
"""F1 that a lower threshold may cost: a mention that stays has its score, and one that is left out has nothing."""

REGULARISATION = 1.0
"""Inverse strength of the L2 penalty."""

Tag = Callable[[Sequence[Document]], Sequence[Sequence[Entity]]]


@dataclass(frozen=True, slots=True)
class Examples:
    """The mentions that a model finds in articles read in pieces of one length.

    features: (mentions, features)
    right:    (mentions,) whether span and label are exactly gold's
    article:  (mentions,) number of the article
    score:    (mentions,) score of the network
    gold:     mentions of gold that a piece holds whole
    """

    features: NDArray[np.float64]
    right: NDArray[np.bool_]
    article: NDArray[np.int64]
    score: NDArray[np.float64]
    gold: int

    def measures(self, stays: NDArray[np.bool_]) -> dict[str, float]:
        """Precision, recall and F1 if some of the mentions stay."""
        right, found = int(self.right[stays].sum()), int(stays.sum())
        return {
            "precision": right / found if found else 0.0,
            "recall": right / self.gold if self.gold else 0.0,
            "f1": 2 * right / (found + self.gold) if found + self.gold else 0.0,
        }


def fit_rescoring(tag: Tag, articles: Sequence[GoldDocument]) -> tuple[Rescoring, dict[str, Any]]:
    """The rescoring that fits articles best, and what it does to articles that a fit has not seen.

    The threshold is the lowest whose mean F1 over the lengths of PIECES is within GIVEN_UP of the best. The second
    result has, for each length, precision, recall and F1 `before` and `after`, and `ece`, the calibration error of the
    scores before and after.

    tag: finds entities with concepts, not yet scored anew, as `Tagger.tag_documents` does; its lexicon must not know
         the articles' strings

    Raises SettingsError if there are fewer than two articles, or mentions are all right or all wrong.
    """
    if len(articles) < 2:
        raise SettingsError("rescoring is fitted on two articles or more")
    examples = {length: _examples(tag, articles, length) for length in PIECES}
    unseen = {length: np.zeros(len(part.right)) for length, part in examples.items()}
    for left_out in range(len(articles)):
        weights, intercept = _fit([_without(part, left_out) for part in examples.values()])
        for length, part in examples.items():
            own = part.article == left_out
            unseen[length][own] = probability(part.features[own] @ weights + intercept)
    f1 = {
        threshold: np.mean([part.measures(unseen[length] >= threshold)["f1"] for length, part in examples.items()])
        for threshold in THRESHOLDS
    }
    threshold = next(threshold for threshold in THRESHOLDS if f1[threshold] >= max(f1.values()) - GIVEN_UP)
    report = {
        "threshold": threshold,
        "articles": len(articles),
        "lengths": {
            str(length or "whole"): {
                "before": part.measures(np.ones(len(part.right), np.bool_)),
                "after": part.measures(unseen[length] >= threshold),
                "ece": [expected_calibration_error(s, part.right) for s in (part.score, unseen[length])],
            }
            for length, part in examples.items()
        },
    }
    weights, intercept = _fit(list(examples.values()))
    named = {name: round(float(weight), 6) for name, weight in zip(FEATURES, weights, strict=True)}
    return Rescoring(named, round(intercept, 6), threshold), report


def pieces(article: GoldDocument, length: int | None) -> list[tuple[int, int]]:
    """Offsets of the pieces of an article: whole sentences, of so many characters or little more."""
    if length is None:
        return [(0, len(article.text))]
    cuts = [0]
    for begin, _ in sentence_spans(article.text):
        if begin - cuts[-1] >= length:
            cuts.append(begin)
    return list(zip(cuts, [*cuts[1:], len(article.text)], strict=True))


def _examples(tag: Tag, articles: Sequence[GoldDocument], length: int | None) -> Examples:
    places = [(number, *place) for number, article in enumerate(articles) for place in pieces(article, length)]
    documents = [document_of("", articles[number].text[begin:end]) for number, begin, end in places]
    found = tag(documents)
    rows = [(row, entity) for row, entities in enumerate(found) for entity in entities]
    table = pa.Table.from_pylist(
        [asdict(entity) | {"row": row} for row, entity in rows],
        pa.schema(
            {
                "row": pa.int64(),
                "label": pa.string(),
                "mention": pa.string(),
                "score": pa.float32(),
                "concept_match": pa.string(),
            }
        ),
    )
    columns = features(table, [document.text for document in documents])
    gold = [{(m.start, m.end, m.label) for m in article.mentions} for article in articles]
    right = [
        (entity.start + places[row][1], entity.end + places[row][1], entity.label) in gold[places[row][0]]
        for row, entity in rows
    ]
    return Examples(
        np.column_stack([columns[name] for name in FEATURES]),
        np.array(right, np.bool_),
        np.array([places[row][0] for row, _ in rows], np.int64),
        table["score"].to_numpy().astype(np.float64),
        sum(begin <= a and b <= end for number, begin, end in places for a, b, _ in gold[number]),
    )


def _without(part: Examples, article: int) -> Examples:
    kept = part.article != article
    return Examples(part.features[kept], part.right[kept], part.article[kept], part.score[kept], part.gold)


def _fit(parts: Sequence[Examples]) -> tuple[NDArray[np.float64], float]:
    """Weights and intercept of the logistic regression over all examples."""
    from sklearn.linear_model import LogisticRegression

    right = np.concatenate([part.right for part in parts])
    if right.all() or not right.any():
        raise SettingsError("rescoring cannot be fitted: all mentions are right, or none is")
    model = LogisticRegression(C=REGULARISATION, max_iter=5000)
    model.fit(np.vstack([part.features for part in parts]), right)
    return model.coef_[0], float(model.intercept_[0])
