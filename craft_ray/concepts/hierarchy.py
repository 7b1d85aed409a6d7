"""The classes above concepts, by is_a: for queries ("any steroid") and for how near two classes are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.lexicon import Lexicon

WEIGHT = 0.65
"""The share of a class's contribution that each is_a step keeps, as in the CRAFT shared task of 2019."""

DEEPEST = 200
"""Steps up from a concept that are taken; no ontology is as deep, but a bad one may go round in a circle."""


def parents_of(lexicon: Lexicon, concept: int) -> NDArray[np.uint32]:
    """The classes right above a concept."""
    return lexicon.parent[lexicon.parent_start[concept] : lexicon.parent_start[concept + 1]]


def ancestors(lexicon: Lexicon, concept: int) -> dict[int, int]:
    """Every class above a concept with the fewest steps to it; the concept itself at 0."""
    distance = {concept: 0}
    level = [concept]
    while level:
        above = {int(parent) for child in level for parent in parents_of(lexicon, child)} - distance.keys()
        steps = distance[level[0]] + 1
        distance |= dict.fromkeys(above, steps)
        level = sorted(above)
    return distance


def wang_similarity(lexicon: Lexicon, first: int, second: int) -> float:
    """How near two classes are, from 0 to 1 for the same one.

    After Wang et al. 2007, "A new method to measure the semantic similarity of GO terms": the shared ancestors' part of
    both classes' contributions, each step up keeping WEIGHT.
    """
    one, other = ancestors(lexicon, first), ancestors(lexicon, second)
    shared = one.keys() & other.keys()
    values = (sum(WEIGHT**steps for steps in distance.values()) for distance in (one, other))
    return sum(WEIGHT ** one[c] + WEIGHT ** other[c] for c in shared) / sum(values)


class Lineage(NamedTuple):
    """Concepts with each of their ancestors, as columns of numbers; (pairs,) each."""

    concept: NDArray[np.int64]
    ancestor: NDArray[np.int64]
    distance: NDArray[np.int64]


def lineage(lexicon: Lexicon, concepts: NDArray[np.int64]) -> Lineage:
    """Each concept with each of its ancestors and the fewest steps to it, itself at 0; one level of all at a time."""
    concepts = np.unique(concepts)
    count = len(lexicon.ids)
    level = concepts * count + concepts  # pairs of concept and ancestor as one number each
    levels: list[NDArray[np.int64]] = []
    while len(level) and len(levels) < DEEPEST:
        levels.append(level)
        concept, at = np.divmod(level, count)
        start = lexicon.parent_start[at]
        number = lexicon.parent_start[at + 1] - start
        places = np.arange(number.sum()) + np.repeat(start - np.cumsum(number) + number, number)
        above = np.sort(np.repeat(concept, number) * count + lexicon.parent[places])
        level = above[_is_first(above)]
    pairs = np.concatenate(levels) if levels else concepts
    distance = np.repeat(np.arange(len(levels)), [len(one) for one in levels])
    order = np.argsort(pairs, kind="stable")  # of a pair that has several distances the least comes first
    nearest = order[_is_first(pairs[order])]
    concept, ancestor = np.divmod(pairs[nearest], count)
    distance = distance[nearest]
    order = np.lexsort((ancestor, distance, concept))
    return Lineage(concept[order], ancestor[order], distance[order])


def _is_first(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True where a sorted number differs from the one before."""
    first = np.ones(len(values), np.bool_)
    first[1:] = values[1:] != values[:-1]
    return first
