"""Mentions scored anew by what the lexicon and the whole document say of them; pure.

A network that reads a window at a time is surest of what looks like a name. Whether an ontology has the name, and how
often the document uses it, tells more: of mentions that `craft` finds in articles it has not seen, 96 of 100 with a
known name are right, and 35 of 100 others. So a logistic regression over a few such features gives each mention its
score, and mentions below a threshold are left out. Only the mention's own document decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.odds import log_odds, probability

FAMILIES = ("corpus", "name", "synonym", "related", "variant", "none")
"""Ways to find a concept: the first word of `concept_match`, else by a variant of the mention, or not at all."""

FEATURES = (
    "score",
    "score in document",
    "mentions in document",
    "words",
    "document length",
    *(f"found by {family}" for family in FAMILIES),
)
"""Names of the features, in order (see `features`)."""

EDGE = 1e-4
"""How near to 0 and 1 scores count."""

LENGTH = 6000
"""Characters of a document whose length counts as 0."""

_WORD = "[[:alnum:]]+|[^[:alnum:][:space:]]"


@dataclass(frozen=True, slots=True)
class Rescoring:
    """A logistic regression over FEATURES, as `rescoring` of a checkpoint's config.json holds it.

    weights:   by name of a feature
    threshold: score from which on a mention stays
    """

    weights: Mapping[str, float]
    intercept: float
    threshold: float

    @classmethod
    def from_json(cls, given: Any) -> "Rescoring":
        """From config.json.

        Raises ValueError if it is none.
        """
        if not isinstance(given, Mapping) or set(given) != {"weights", "intercept", "threshold"}:
            raise ValueError("rescoring needs weights, an intercept and a threshold")
        weights = given["weights"]
        if not isinstance(weights, Mapping) or set(weights) != set(FEATURES):
            raise ValueError(f"rescoring needs a weight for each of: {', '.join(FEATURES)}")
        numbers = [*weights.values(), given["intercept"], given["threshold"]]
        if not all(isinstance(number, int | float) and np.isfinite(number) for number in numbers):
            raise ValueError("rescoring has what is no number")
        return cls(
            {name: float(weights[name]) for name in FEATURES}, float(given["intercept"]), float(given["threshold"])
        )

    def as_json(self) -> dict[str, Any]:
        """As config.json holds it."""
        return {"weights": dict(self.weights), "intercept": self.intercept, "threshold": self.threshold}

    def scores(self, entities: pa.Table, texts: Sequence[str | None]) -> NDArray[np.float32]:
        """(entities,) the new score of each; arguments as for `features`."""
        columns = features(entities, texts)
        # A sum of columns and no matrix product, whose last bits depend on how many rows there are.
        odds = np.full(entities.num_rows, self.intercept)
        for name in FEATURES:
            odds += self.weights[name] * columns[name]
        score: NDArray[np.float32] = probability(odds).astype(np.float32)
        return score


def features(entities: pa.Table, texts: Sequence[str | None]) -> dict[str, NDArray[np.float64]]:
    """(entities,) of each feature, by name.

    - `score`: log odds of the network's score, within EDGE
    - `score in document`: their mean over the document's mentions with the same text and label
    - `mentions in document`: the logarithm of how many these are
    - `words`: words and symbols of the mention
    - `document length`: the logarithm of its characters per LENGTH
    - one for each of FAMILIES, 1 or 0

    entities: with the columns label, mention, score, concept_match, and row, the place of each one's document in
              `texts`
    """
    row = entities["row"].to_numpy()
    odds = log_odds(entities["score"].to_numpy(), EDGE)
    group = _groups(row, entities["label"], entities["mention"])
    count = np.bincount(group)
    length = pc.fill_null(pc.utf8_length(pa.array(texts, pa.string())), 0).to_numpy()
    words = pc.count_substring_regex(entities["mention"].cast(pa.string()), _WORD).to_numpy()
    family = _families(entities["concept_match"])
    return {
        "score": odds,
        "score in document": (np.bincount(group, odds) / np.maximum(count, 1))[group],
        "mentions in document": np.log(count)[group],
        "words": words.astype(np.float64),
        "document length": np.log(np.maximum(length, 1) / LENGTH)[row],
        **{f"found by {name}": (family == number).astype(np.float64) for number, name in enumerate(FAMILIES)},
    }


def _groups(row: NDArray[np.int64], label: pa.ChunkedArray, mention: pa.ChunkedArray) -> NDArray[np.int64]:
    """Numbers that are equal for mentions of one document with the same text and label."""
    codes = [row, *(_codes(column) for column in (label, mention))]
    group = codes[0]
    for code in codes[1:]:
        _, group = np.unique(group * (code.max(initial=0) + 1) + code, return_inverse=True)
    return group


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    encoded = pc.dictionary_encode(column.cast(pa.string()).combine_chunks())
    codes: NDArray[np.int64] = encoded.indices.to_numpy().astype(np.int64)
    return codes


def _families(match: pa.ChunkedArray) -> NDArray[np.int64]:
    """(entities,) number in FAMILIES of each match."""
    encoded = pc.dictionary_encode(match.cast(pa.string()).combine_chunks())
    first = [name.partition(" ")[0] for name in encoded.dictionary.to_pylist()]
    number = np.array([FAMILIES.index(name if name in FAMILIES else "variant") for name in [*first, "none"]], np.int64)
    places: NDArray[np.int32] = pc.fill_null(encoded.indices, len(first)).to_numpy()
    return number[places]
