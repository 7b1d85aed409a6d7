"""A lexicon: the names of ontologies' concepts as sorted arrays, made to be shared by all processes of a node.

Sixteen bytes per name. Nothing in it is a Python object per name, so one copy in Ray's object store serves every worker
of the node.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.forms import EXACT, FOLDED, RELAXED, SINGULAR, Keys

CORPUS, NAME, SYNONYM, RELATED = 0, 1, 2, 3
"""Where a name is from: strings of an annotated corpus, names, exact synonyms, narrow, broad and related synonyms."""


@dataclass(frozen=True)
class Lexicon:
    """Names and concepts as columns.

    key, folded, exact: (names,) as `forms.Keys`; sorted by key
    tier, concept:      (names,) where each name is from, and the number of its concept
    ids, names:         (concepts,) CURIEs and preferred names
    ontology:           (concepts,) the number of each concept's prefix in `prefixes`
    prior:              (concepts,) how often a corpus has it: 0 never, else 1 + log2 of its mentions
    specific:           (concepts,) 1 for a concept of one species alone, as PR's classes named by UniProt accessions
    parent_start, parent: parents of concept n are `parent[parent_start[n]:parent_start[n + 1]]`
    old_ids, old_concept: alternative ids, and the ids of terms that were replaced, with the concept that took over
    sources:            of each file: name, prefixes, version, terms, names
    fingerprint:        hash of all of it
    """

    key: NDArray[np.uint64]
    folded: NDArray[np.uint16]
    exact: NDArray[np.uint8]
    tier: NDArray[np.uint8]
    concept: NDArray[np.uint32]
    ids: pa.StringArray
    names: pa.StringArray
    ontology: NDArray[np.uint8]
    prior: NDArray[np.uint8]
    specific: NDArray[np.uint8]
    parent_start: NDArray[np.int64]
    parent: NDArray[np.uint32]
    old_ids: pa.StringArray
    old_concept: NDArray[np.uint32]
    prefixes: tuple[str, ...]
    sources: tuple[dict[str, Any], ...]
    fingerprint: str = ""

    @property
    def has_corpus(self) -> bool:
        """True if it holds strings of an annotated corpus."""
        return bool((self.tier == CORPUS).any())

    @cached_property
    def named_prefixes(self) -> frozenset[str]:
        """The prefixes of which it holds names."""
        return frozenset(self.prefixes[n] for n in np.flatnonzero(np.bincount(self.ontology[self.concept])).tolist())

    def indices(self, ids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """The concept of each id, old ids too; -1 for ids that the lexicon has not."""
        wanted = pa.array(ids, pa.string())
        found: NDArray[np.int64] = pc.fill_null(pc.index_in(wanted, self.ids), -1).to_numpy().astype(np.int64)
        old = pc.fill_null(pc.index_in(wanted, self.old_ids), -1).to_numpy()
        replaced = (found < 0) & (old >= 0)
        found[replaced] = self.old_concept[old[replaced]]
        return found


@dataclass(frozen=True, slots=True)
class Matches:
    """Names that are equal to strings in some form, as columns: one row per string and name."""

    string: NDArray[np.int64]
    concept: NDArray[np.int64]
    tier: NDArray[np.int64]
    form: NDArray[np.int64]


def find_names(lexicon: Lexicon, keys: Keys, allowed: NDArray[np.bool_]) -> Matches:
    """The names that each string is equal to.

    allowed: (strings, prefixes) the prefixes in which each string is looked up
    """
    first = np.searchsorted(lexicon.key, keys.key, side="left")
    count = np.searchsorted(lexicon.key, keys.key, side="right") - first
    count[keys.key == 0] = 0
    string = np.repeat(np.arange(len(count)), count)
    row = np.arange(len(string)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    concept = lexicon.concept[row].astype(np.int64)
    wanted = allowed[string, lexicon.ontology[concept]]
    string, row, concept = string[wanted], row[wanted], concept[wanted]
    folded = lexicon.folded[row] == keys.folded[string]
    exact = folded & (lexicon.exact[row] == keys.exact[string])
    singular = lexicon.folded[row] == keys.singular[string]
    form = np.select([exact, folded, singular], [EXACT, FOLDED, SINGULAR], RELAXED)
    return Matches(string, concept, lexicon.tier[row].astype(np.int64), form.astype(np.int64))
