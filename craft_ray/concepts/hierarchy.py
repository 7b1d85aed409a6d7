"""The classes above concepts, by is_a: for queries ("any steroid") and for how near two classes are."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from craft_ray.concepts.lexicon import Lexicon

WEIGHT = 0.65
"""The share of a class's contribution that each is_a step keeps, as in the CRAFT shared task of 2019."""


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


def ancestor_rows(lexicon: Lexicon, concepts: Iterable[int]) -> list[tuple[str, str, int]]:
    """Each concept with each of its ancestors and their distance, as ids."""
    ids = lexicon.ids
    return [
        (ids[concept].as_py(), ids[above].as_py(), steps)
        for concept in concepts
        for above, steps in sorted(ancestors(lexicon, concept).items(), key=lambda item: (item[1], item[0]))
    ]
