"""Fit how a model's mentions are rescored (see `concepts.rescoring`), on articles that the model has not learned.

Annotated texts are rarely whole articles, so the same articles are also cut into parts of several lengths, each a
document of its own. Figures are cross-validated: the fit that scores an article has not seen it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
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

THRESHOLDS = tuple(round(0.01 * n, 2) for n in range(15, 56))
"""Candidates for the score below which mentions of a label are left out. Below them `patients` would be a taxon."""

MAX_F1_LOSS = 0.005
"""By which a label's F1 in articles may lie below its best, where that helps in other corpora."""

CANDIDATE_ODDS = (0.0, 1.0, 2.0)
"""Log odds that may be added to a label's mentions, so that less likely ones are found and judged too."""

REGULARISATION = 1.0
"""Inverse strength of the L2 penalty."""

Tag = Callable[[Sequence[Document]], Sequence[Sequence[Entity]]]


@dataclass(frozen=True, slots=True)
class ScoredMentions:
    """The mentions that a model finds in articles cut into parts of one length.

    features: (mentions, features)
    correct:  (mentions,) whether span and label equal gold's
    article:  (mentions,) index of the article
    label:    (mentions,)
    score:    (mentions,) the network's score
    gold:     number of gold mentions that lie within a part, by label
    """

    features: NDArray[np.float64]
    correct: NDArray[np.bool_]
    article: NDArray[np.int64]
    label: NDArray[np.str_]
    score: NDArray[np.float64]
    gold: Counter[str]

    def metrics(self, kept: NDArray[np.bool_], label: str | None = None) -> dict[str, float]:
        """Precision, recall and F1 of the mentions that a mask keeps, or of those with one label."""
        if label is not None:
            kept = kept & (self.label == label)
        gold = self.gold.total() if label is None else self.gold[label]
        return Counts(int(self.correct[kept].sum()), int(kept.sum()), gold).report()


Part = int | str | None
"""Length of the parts of articles, or name of another corpus."""

Mentions = Mapping[Part, ScoredMentions]
Scores = Mapping[Part, NDArray[np.float64]]


def fit_rescoring(
    tagger: Callable[[float], Tag],
    articles: Sequence[GoldDocument],
    less_likely: Collection[str] = (),
    others: Mapping[str, Sequence[GoldDocument]] = MappingProxyType({}),
) -> tuple[Rescoring, dict[str, Any]]:
    """Fit a rescoring on all articles, and report its effect on each article when fitted on the others.

    Candidates of some labels are the mentions that the network finds with those of CANDIDATE_ODDS added that lead to
    the label's best F1, the mean over LENGTHS. A label's threshold is that of its best F1, or of those that cost at
    most MAX_F1_LOSS the best for other corpora with the label. For each length the report has precision, recall and F1
    `before` and `after`, and the calibration error before and after (`ece`).

    tagger: makes what finds entities with concepts, not yet rescored, as `Tagger.tag_documents` does, with log odds
            added to those of all labels; its lexicon must not contain the articles' strings
    less_likely: labels that may have odds added
    others: corpora on which the thresholds should hold too, by name

    Raises SettingsError if there are fewer than two articles, or all mentions are correct or all are wrong.
    """
    if len(articles) < 2:
        raise SettingsError("rescoring is fitted on two articles or more")
    found: dict[float, Mentions] = {}
    for odds in CANDIDATE_ODDS if less_likely else CANDIDATE_ODDS[:1]:
        tag = tagger(odds)
        parts: dict[Part, ScoredMentions] = {n: _score_mentions(tag, articles, n, odds) for n in LENGTHS}
        found[odds] = parts | {name: _score_mentions(tag, other, None, odds) for name, other in others.items()}
    candidate_odds = _choose_odds(found, len(articles), less_likely)
    mentions = {part: _candidates(found, candidate_odds, part) for part in (*LENGTHS, *others)}
    unseen = _cross_validate(mentions, len(articles))
    labels = sorted(set(mentions[None].label.tolist()))
    thresholds = {label: _threshold(mentions, unseen, label)[0] for label in labels}

    def kept(length: Part) -> NDArray[np.bool_]:
        lowest = np.array([thresholds.get(label, 0.0) for label in mentions[length].label.tolist()])
        above: NDArray[np.bool_] = unseen[length] >= lowest
        return above

    report = {
        "thresholds": thresholds,
        "articles": len(articles),
        "lengths": {
            str(length or "whole"): {
                "before": part.metrics(np.ones(len(part.correct), np.bool_)),
                "after": mentions[length].metrics(kept(length)),
                "ece": [
                    expected_calibration_error(part.score, part.correct),
                    expected_calibration_error(unseen[length], mentions[length].correct),
                ],
            }
            for length, part in found[0.0].items()
            if not isinstance(length, str)
        },
    }
    weights, intercept = _fit(mentions)
    named = {name: round(float(weight), 6) for name, weight in zip(FEATURES, weights, strict=True)}
    added = {label: odds for label, odds in candidate_odds.items() if odds}
    return Rescoring(named, round(intercept, 6), thresholds, added), report


def _cross_validate(mentions: Mentions, articles: int) -> Scores:
    """Scores of the mentions of each article by a fit on the others, and of other corpora by a fit on all articles."""
    weights, intercept = _fit(mentions)
    unseen = {name: probability(part.features @ weights + intercept) for name, part in mentions.items()}
    for article in range(articles):
        weights, intercept = _fit(mentions, left_out=article)
        for length in LENGTHS:
            part = mentions[length]
            own = part.article == article
            unseen[length][own] = probability(part.features[own] @ weights + intercept)
    return unseen


def _threshold(mentions: Mentions, unseen: Scores, label: str) -> tuple[float, float]:
    """The threshold of a label, and its best mean F1 over LENGTHS."""

    def mean_f1(parts: Iterable[Part], lowest: float) -> float:
        return float(np.mean([mentions[part].metrics(unseen[part] >= lowest, label)["f1"] for part in parts]))

    f1 = {lowest: mean_f1(LENGTHS, lowest) for lowest in THRESHOLDS}
    best = max(THRESHOLDS, key=f1.__getitem__) if any(f1.values()) else THRESHOLDS[-1]
    if others := [name for name, part in mentions.items() if isinstance(name, str) and part.gold[label]]:
        likely = [lowest for lowest in THRESHOLDS if f1[lowest] >= f1[best] - MAX_F1_LOSS]
        return max(likely, key=lambda lowest: mean_f1(others, lowest)), f1[best]
    return best, f1[best]


def _choose_odds(found: Mapping[float, Mentions], articles: int, labels: Collection[str]) -> dict[str, float]:
    """For each label, the lowest of CANDIDATE_ODDS with its best F1."""
    f1: dict[float, list[float]] = {}
    for odds, mentions in found.items():
        unseen = _cross_validate(mentions, articles)
        f1[odds] = [_threshold(mentions, unseen, label)[1] for label in labels]
    return {label: max(found, key=lambda odds: f1[odds][index]) for index, label in enumerate(labels)}


def _candidates(found: Mapping[float, Mentions], candidate_odds: Mapping[str, float], part: Part) -> ScoredMentions:
    """The mentions of each label that are found with its odds, those of other labels without any."""
    parts = [
        (mentions[part], [candidate_odds.get(label, 0.0) == odds for label in mentions[part].label.tolist()])
        for odds, mentions in found.items()
    ]

    def joined(column: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, column)[np.array(own, np.bool_)] for part, own in parts])

    features, correct, article, label, score = map(joined, ("features", "correct", "article", "label", "score"))
    return ScoredMentions(features, correct, article, label, score, found[0.0][part].gold)


def cut_article(article: GoldDocument, length: int | None) -> list[tuple[int, int]]:
    """Offsets of parts made of whole sentences, of at least `length` characters but for the last one."""
    if length is None:
        return [(0, len(article.text))]
    cuts = [0]
    for begin, _ in sentence_spans(article.text):
        if begin - cuts[-1] >= length:
            cuts.append(begin)
    return list(zip(cuts, [*cuts[1:], len(article.text)], strict=True))


def _score_mentions(tag: Tag, articles: Sequence[GoldDocument], length: int | None, odds: float) -> ScoredMentions:
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
    labels = {entity.label for _, entity in mentions}
    columns = features(table, [document.text for document in documents], dict.fromkeys(labels, odds))
    gold = [{(m.start, m.end, m.label) for m in article.mentions} for article in articles]
    correct = []
    for row, entity in mentions:
        number, begin, _ = parts[row]
        correct.append((entity.start + begin, entity.end + begin, entity.label) in gold[number])
    inside = (m[2] for number, begin, end in parts for m in gold[number] if begin <= m[0] and m[1] <= end)
    return ScoredMentions(
        features=np.column_stack([columns[name] for name in FEATURES]),
        correct=np.array(correct, np.bool_),
        article=np.array([parts[row][0] for row, _ in mentions], np.int64),
        label=np.array([entity.label for _, entity in mentions], np.str_),
        score=table["score"].to_numpy().astype(np.float64),
        gold=Counter(inside),
    )


def _fit(mentions: Mentions, left_out: int = -1) -> tuple[NDArray[np.float64], float]:
    """Weights and intercept of a logistic regression over all mentions in articles, except those of one article."""
    from sklearn.linear_model import LogisticRegression

    parts = [mentions[length] for length in LENGTHS]
    kept = [part.article != left_out for part in parts]
    correct = np.concatenate([part.correct[mask] for part, mask in zip(parts, kept, strict=True)])
    if correct.all() or not correct.any():
        raise SettingsError("rescoring cannot be fitted: all mentions are correct, or none is")
    model = LogisticRegression(C=REGULARISATION, max_iter=5000)
    model.fit(np.vstack([part.features[mask] for part, mask in zip(parts, kept, strict=True)]), correct)
    return model.coef_[0], float(model.intercept_[0])
