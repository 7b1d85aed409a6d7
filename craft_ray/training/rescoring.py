"""Fit how a model's mentions are rescored (see `concepts.rescoring`), on articles that the model has not learned.

Annotated texts are rarely whole articles, so the same articles are also cut into parts of several lengths, each a
document of its own. Figures are cross-validated: the fit that scores an article has not seen it.
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
from craft_ray.training.corpora import GoldDocument
from craft_ray.training.metrics import Counts, expected_calibration_error

LENGTHS = (None, 6000, 1500, 300)
"""Characters of the parts that articles are cut into; None for whole articles. 1,500 are an abstract's."""

THRESHOLDS = tuple(round(0.1 + 0.01 * n, 2) for n in range(46))
"""Candidates for the score below which mentions are dropped."""

REGULARISATION = 1.0
"""Inverse strength of the L2 penalty."""

Tag = Callable[[Sequence[Document]], Sequence[Sequence[Entity]]]


@dataclass(frozen=True, slots=True)
class ScoredMentions:
    """The mentions that a model finds in articles cut into parts of one length.

    features: (mentions, features)
    correct:  (mentions,) whether span and label equal gold's
    article:  (mentions,) index of the article
    score:    (mentions,) the network's score
    gold:     number of gold mentions that lie within a part
    """

    features: NDArray[np.float64]
    correct: NDArray[np.bool_]
    article: NDArray[np.int64]
    score: NDArray[np.float64]
    gold: int

    def metrics(self, kept: NDArray[np.bool_]) -> dict[str, float]:
        """Precision, recall and F1 of the mentions that a mask keeps."""
        return Counts(int(self.correct[kept].sum()), int(kept.sum()), self.gold).report()


def fit_rescoring(tag: Tag, articles: Sequence[GoldDocument]) -> tuple[Rescoring, dict[str, Any]]:
    """Fit a rescoring on all articles, and report its effect on each article when fitted on the others.

    The threshold is the one with the best mean F1 over LENGTHS. For each length the report
    has precision, recall and F1 `before` and `after`, and the calibration error before and after (`ece`).

    tag: finds entities with concepts, not yet rescored, as `Tagger.tag_documents` does; its lexicon must not contain
         the articles' strings

    Raises SettingsError if there are fewer than two articles, or all mentions are correct or all are wrong.
    """
    if len(articles) < 2:
        raise SettingsError("rescoring is fitted on two articles or more")
    mentions = {length: _score_mentions(tag, articles, length) for length in LENGTHS}
    unseen = {length: np.zeros(len(part.correct)) for length, part in mentions.items()}
    for article in range(len(articles)):
        weights, intercept = _fit(list(mentions.values()), left_out=article)
        for length, part in mentions.items():
            own = part.article == article
            unseen[length][own] = probability(part.features[own] @ weights + intercept)
    f1 = {
        threshold: np.mean([part.metrics(unseen[length] >= threshold)["f1"] for length, part in mentions.items()])
        for threshold in THRESHOLDS
    }
    threshold = max(THRESHOLDS, key=f1.__getitem__)
    report = {
        "threshold": threshold,
        "articles": len(articles),
        "lengths": {
            str(length or "whole"): {
                "before": part.metrics(np.ones(len(part.correct), np.bool_)),
                "after": part.metrics(unseen[length] >= threshold),
                "ece": [expected_calibration_error(s, part.correct) for s in (part.score, unseen[length])],
            }
            for length, part in mentions.items()
        },
    }
    weights, intercept = _fit(list(mentions.values()))
    named = {name: round(float(weight), 6) for name, weight in zip(FEATURES, weights, strict=True)}
    return Rescoring(named, round(intercept, 6), threshold), report


def cut_article(article: GoldDocument, length: int | None) -> list[tuple[int, int]]:
    """Offsets of parts made of whole sentences, of at least `length` characters but for the last one."""
    if length is None:
        return [(0, len(article.text))]
    cuts = [0]
    for begin, _ in sentence_spans(article.text):
        if begin - cuts[-1] >= length:
            cuts.append(begin)
    return list(zip(cuts, [*cuts[1:], len(article.text)], strict=True))


def _score_mentions(tag: Tag, articles: Sequence[GoldDocument], length: int | None) -> ScoredMentions:
    parts = [(number, *span) for number, article in enumerate(articles) for span in cut_article(article, length)]
    documents = [document_of("", articles[number].text[begin:end]) for number, begin, end in parts]
    mentions = [(row, entity) for row, entities in enumerate(tag(documents)) for entity in entities]
    table = pa.Table.from_pylist(
        [asdict(entity) | {"row": row} for row, entity in mentions],
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
    correct = []
    for row, entity in mentions:
        number, begin, _ = parts[row]
        correct.append((entity.start + begin, entity.end + begin, entity.label) in gold[number])
    return ScoredMentions(
        features=np.column_stack([columns[name] for name in FEATURES]),
        correct=np.array(correct, np.bool_),
        article=np.array([parts[row][0] for row, _ in mentions], np.int64),
        score=table["score"].to_numpy().astype(np.float64),
        gold=sum(begin <= a and b <= end for number, begin, end in parts for a, b, _ in gold[number]),
    )


def _fit(parts: Sequence[ScoredMentions], left_out: int = -1) -> tuple[NDArray[np.float64], float]:
    """Weights and intercept of a logistic regression over all mentions, except those of one article."""
    from sklearn.linear_model import LogisticRegression

    kept = [part.article != left_out for part in parts]
    correct = np.concatenate([part.correct[mask] for part, mask in zip(parts, kept, strict=True)])
    if correct.all() or not correct.any():
        raise SettingsError("rescoring cannot be fitted: all mentions are correct, or none is")
    model = LogisticRegression(C=REGULARISATION, max_iter=5000)
    model.fit(np.vstack([part.features[mask] for part, mask in zip(parts, kept, strict=True)]), correct)
    return model.coef_[0], float(model.intercept_[0])
