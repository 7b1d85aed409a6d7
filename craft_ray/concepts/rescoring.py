"""New scores for mentions, from the network's score, the step that found a concept, and the mention's document.

A network that reads one window at a time is surest of what looks like a name. Whether an ontology has the name, and how
often the document uses it, says more: of the mentions that `craft` finds in unseen articles, 96 % of those with a known
name are right, and 35 % of the others. So a logistic regression over such features gives each mention its score.
Other documents have no influence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.variants import REWORDED
from craft_ray.core.odds import log_odds, probability

FAMILIES = ("corpus", "name", "synonym", "related", "variant", "none")
"""Ways to find a concept: the first word of `concept_match`, a variant of the mention with its words, or none."""

FEATURES = (
    "score",
    "added odds",
    "score in document",
    "mentions in document",
    "words",
    "document length",
    *(f"found by {family}" for family in FAMILIES),
    "score in document, found by none",
)

EDGE = 1e-4
"""Scores are clipped to this distance from 0 and 1."""

LENGTH = 6000
"""Characters of a document with the feature `document length` 0."""

_WORD = "[[:alnum:]]+|[^[:alnum:][:space:]]"


@dataclass(frozen=True, slots=True)
class Rescoring:
    """A logistic regression over FEATURES, stored as `rescoring` in a checkpoint's config.json.

    thresholds:     lowest score of mentions to keep, by label; of others all are kept
    candidate_odds: log odds that the network adds to mentions by label, so that less likely ones are judged too
    """

    weights: Mapping[str, float]
    intercept: float
    thresholds: Mapping[str, float]
    candidate_odds: Mapping[str, float]

    @classmethod
    def from_json(cls, value: Any) -> "Rescoring":
        """Raises ValueError if the value does not describe one."""
        if not isinstance(value, Mapping) or set(value) != {f.name for f in fields(cls)}:
            raise ValueError("rescoring needs weights, an intercept, thresholds and candidate_odds")
        weights, odds, thresholds = value["weights"], value["candidate_odds"], value["thresholds"]
        if not isinstance(weights, Mapping) or set(weights) != set(FEATURES):
            raise ValueError(f"rescoring needs a weight for each of: {', '.join(FEATURES)}")
        if not isinstance(odds, Mapping) or not isinstance(thresholds, Mapping):
            raise ValueError("rescoring needs thresholds and candidate_odds by label")
        numbers = [*weights.values(), *odds.values(), *thresholds.values(), value["intercept"]]
        if not all(isinstance(number, int | float) and np.isfinite(number) for number in numbers):
            raise ValueError("rescoring has weights that are not numbers")
        ordered = {name: float(weights[name]) for name in FEATURES}
        return cls(ordered, float(value["intercept"]), dict(thresholds), dict(odds))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def scores(self, entities: pa.Table, texts: Sequence[str | None]) -> NDArray[np.float32]:
        """(entities,) new scores; arguments as for `features`."""
        columns = features(entities, texts, self.candidate_odds)
        # Summed by column: the last bits of a matrix product depend on the number of rows.
        odds = np.full(entities.num_rows, self.intercept)
        for name in FEATURES:
            odds += self.weights[name] * columns[name]
        score: NDArray[np.float32] = probability(odds).astype(np.float32)
        return score


def features(
    entities: pa.Table, texts: Sequence[str | None], candidate_odds: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    """(entities,) values of each feature.

    - `score`: log odds of the network's score
    - `added odds`: `candidate_odds` of the label
    - `score in document`: mean of `score` over the document's mentions with the same text and label
    - `mentions in document`: logarithm of the number of these mentions
    - `words`: words and symbols of the mention
    - `document length`: logarithm of the document's characters per LENGTH
    - one for each of FAMILIES: 1 or 0
    - `score in document, found by none`: the product of these two

    entities: with the columns label, mention, score, concept_match, and row, the index of each one's document in
              `texts`
    """
    row = entities["row"].to_numpy()
    odds = log_odds(entities["score"].to_numpy(), EDGE)
    group = _groups(row, _codes(entities["label"]), _codes(entities["mention"]))
    count = np.bincount(group)
    length = pc.fill_null(pc.utf8_length(pa.array(texts, pa.string())), 0).to_numpy()
    words = pc.count_substring_regex(entities["mention"].cast(pa.string()), _WORD).to_numpy()
    family = _families(entities["concept_match"])
    in_document = (np.bincount(group, odds) / np.maximum(count, 1))[group]
    return {
        "score": odds,
        "added odds": by_label(entities["label"], candidate_odds),
        "score in document": in_document,
        "mentions in document": np.log(count)[group],
        "words": words.astype(np.float64),
        "document length": np.log(np.maximum(length, 1) / LENGTH)[row],
        **{f"found by {name}": (family == number).astype(np.float64) for number, name in enumerate(FAMILIES)},
        "score in document, found by none": in_document * (family == FAMILIES.index("none")),
    }


def _groups(*columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the distinct rows of some columns."""
    group = columns[0]
    for column in columns[1:]:
        _, group = np.unique(group * (column.max(initial=0) + 1) + column, return_inverse=True)
    return group


def by_label(column: pa.ChunkedArray, value: Mapping[str, float]) -> NDArray[np.float64]:
    """(entities,) the value of each one's label, 0 if it has none."""
    encoded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    values = np.array([value.get(label, 0.0) for label in encoded.dictionary.to_pylist()], np.float64)
    by_mention: NDArray[np.float64] = values[encoded.indices.to_numpy()]
    return by_mention


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    encoded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    codes: NDArray[np.int64] = encoded.indices.to_numpy().astype(np.int64)
    return codes


def _families(match: pa.ChunkedArray) -> NDArray[np.int64]:
    """(entities,) index in FAMILIES of each match."""
    encoded = pc.dictionary_encode(match.cast(pa.string()).combine_chunks())
    matches = encoded.dictionary.to_pylist()
    family = np.array([FAMILIES.index(_family(match)) for match in [*matches, None]], np.int64)
    indices: NDArray[np.int32] = pc.fill_null(encoded.indices, len(matches)).to_numpy()
    return family[indices]


def _family(match: str | None) -> str:
    if match is None or match in REWORDED:
        return "none"
    first = match.partition(" ")[0]
    return first if first in FAMILIES else "variant"
