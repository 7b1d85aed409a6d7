"""Ancestors of concepts by is_a, for queries ("any steroid") and for the similarity of two classes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.lexicon import Lexicon

WANG_WEIGHT = 0.65
"""Contribution that remains after each is_a step, as in the CRAFT shared task of 2019."""

MAX_DEPTH = 200
"""No ontology is as deep, but the is_a relations of a faulty one may form a cycle."""


class Lineage(NamedTuple):
    """Pairs of a concept and one of its ancestors, (pairs,) each."""

    concept: NDArray[np.int64]
    ancestor: NDArray[np.int64]
    distance: NDArray[np.int64]


def lineage(lexicon: Lexicon, concepts: NDArray[np.int64]) -> Lineage:
    """Pair each concept with all its ancestors and their least distance, and with itself at distance 0.

    Sorted by concept, distance and ancestor.
    """
    count = len(lexicon.ids)
    levels = [np.unique(concepts) * (count + 1)]  # by distance; a pair as one number: concept * count + ancestor
    while len(levels[-1]) and len(levels) < MAX_DEPTH:
        concept, below = np.divmod(levels[-1], count)
        start = lexicon.parent_start[below]
        parents = lexicon.parent_start[below + 1] - start
        rows = np.arange(parents.sum()) + np.repeat(start - np.cumsum(parents) + parents, parents)
        levels.append(np.unique(np.repeat(concept, parents) * count + lexicon.parent[rows]))
    pairs, first = np.unique(np.concatenate(levels), return_index=True)
    distance = np.repeat(np.arange(len(levels)), [len(level) for level in levels])[first]
    concept, ancestor = np.divmod(pairs, count)
    order = np.lexsort((ancestor, distance, concept))
    return Lineage(concept[order], ancestor[order], distance[order])


def wang_similarity(lexicon: Lexicon, first: int, second: int) -> float:
    """Similarity of two classes from 0 to 1: how much of both classes' contributions their shared ancestors have.

    Wang et al. 2007, "A new method to measure the semantic similarity of GO terms".
    """
    one, other = (
        dict(zip(found.ancestor.tolist(), (WANG_WEIGHT**found.distance).tolist(), strict=True))
        for found in (lineage(lexicon, np.array([concept])) for concept in (first, second))
    )
    shared: float = sum(one[c] + other[c] for c in one.keys() & other.keys())
    total: float = sum(one.values()) + sum(other.values())
    return shared / total
