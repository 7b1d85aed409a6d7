"""A lexicon: the names of ontologies' concepts as sorted arrays, 16 bytes per name.

It holds no Python object per name, so one copy in Ray's object store serves all workers of a node.
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
"""Tiers: strings of an annotated corpus, names, exact synonyms, all other synonyms."""


@dataclass(frozen=True)
class Lexicon:
    """Names and concepts as columns.

    key, folded, exact: (names,) see `forms.Keys`; sorted by key
    tier, concept:      (names,) tier of each name, and index of its concept
    ids, names:         (concepts,) CURIEs and preferred names
    ontology:           (concepts,) index of each concept's prefix in `prefixes`
    prior:              (concepts,) frequency in the corpus: 0 if absent, else 1 + log2 of the mentions
    taxon:              (concepts,) NCBI Taxonomy number of a concept that belongs to one species; 1 if the source
                        does not name the species, as for PR's classes of UniProt accessions; 0 if it has several
    parent_start, parent: parents of concept n are `parent[parent_start[n]:parent_start[n + 1]]`
    old_ids, old_concept: alternative ids and ids of replaced terms, with the concept that each stands for
    xrefs, xref_concept: (xrefs,) CURIEs of other vocabularies, sorted, with the concept that each means as well
    sources:            file, prefix, version, and numbers of terms and names of each source
    fingerprint:        hash of all the above
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
    taxon: NDArray[np.uint32]
    parent_start: NDArray[np.int64]
    parent: NDArray[np.uint32]
    old_ids: pa.StringArray
    old_concept: NDArray[np.uint32]
    xrefs: pa.StringArray
    xref_concept: NDArray[np.uint32]
    prefixes: tuple[str, ...]
    sources: tuple[dict[str, Any], ...]
    fingerprint: str = ""

    @property
    def has_corpus(self) -> bool:
        return bool((self.tier == CORPUS).any())

    @cached_property
    def named_prefixes(self) -> frozenset[str]:
        """Prefixes with at least one name."""
        return frozenset(self.prefixes[n] for n in np.flatnonzero(np.bincount(self.ontology[self.concept])).tolist())

    @property
    def child(self) -> NDArray[np.uint32]:
        """(parents,) the concept that each entry of `parent` belongs to."""
        return np.repeat(np.arange(len(self.ids), dtype=np.uint32), np.diff(self.parent_start))

    def indices(self, ids: Sequence[str] | pa.Array) -> NDArray[np.int64]:
        """Index of the concept of each id, current or old; -1 for unknown ids."""
        wanted = pa.array(ids, pa.string())
        found, old = _indices_in(self.ids, wanted), _indices_in(self.old_ids, wanted)
        replaced = (found < 0) & (old >= 0)
        found[replaced] = self.old_concept[old[replaced]]
        return found


def _indices_in(ids: pa.StringArray, wanted: pa.StringArray) -> NDArray[np.int64]:
    """First index of each wanted id, -1 if there is none. Only the wanted ones are hashed, which are few."""
    rows = pc.indices_nonzero(pc.is_in(ids, wanted))
    first = rows.take(pc.index_in(wanted, ids.take(rows)))
    found: NDArray[np.int64] = pc.fill_null(first.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return found.copy()


def equivalents(lexicon: Lexicon, ids: Sequence[str]) -> list[frozenset[int]]:
    """Indices of the concepts that each id means, itself or by a cross-reference; `|` stands between several ids.

    Genes are left out: mentions have them in `gene_id`.
    """
    parts = sorted({part for id_ in ids for part in id_.split("|")})
    found = {part: {number} - {-1} for part, number in zip(parts, lexicon.indices(parts).tolist(), strict=True)}
    rows = pc.indices_nonzero(pc.is_in(lexicon.xrefs, pa.array(parts, pa.string())))
    for xref, concept in zip(lexicon.xrefs.take(rows).to_pylist(), lexicon.xref_concept[rows].tolist(), strict=True):
        found[xref].add(concept)
    meant = [set().union(*(found[part] for part in id_.split("|"))) for id_ in ids]
    return [frozenset(one for one in some if lexicon.taxon[one] <= 1) for some in meant]


def group_parents(
    child: NDArray[np.integer], parent: NDArray[np.integer], concepts: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Convert pairs of child and parent to `parent_start` and `parent`."""
    start = np.zeros(concepts + 1, np.int64)
    np.cumsum(np.bincount(child, minlength=concepts), out=start[1:])
    return start, parent[np.lexsort((parent, child))].astype(np.uint32)


def distinct_pairs(ids: pa.StringArray, concept: NDArray[np.integer]) -> tuple[pa.StringArray, NDArray[np.uint32]]:
    """Sort pairs of an id and a concept, each once."""
    pairs = pa.table({"id": ids, "concept": concept.astype(np.uint32)}).group_by(["id", "concept"]).aggregate([])
    pairs = pairs.sort_by([("id", "ascending"), ("concept", "ascending")]).combine_chunks()
    return pairs["id"].combine_chunks(), pairs["concept"].to_numpy()


@dataclass(frozen=True, slots=True)
class Matches:
    """Names that equal a string in some form, one row per string and name.

    string:  index of the string
    concept: index of the name's concept
    tier:    tier of the name
    form:    closest form in which both are equal
    """

    string: NDArray[np.int64]
    concept: NDArray[np.int64]
    tier: NDArray[np.int64]
    form: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> "Matches":
        return Matches(self.string[rows], self.concept[rows], self.tier[rows], self.form[rows])


def find_names(lexicon: Lexicon, keys: Keys, allowed: NDArray[np.bool_]) -> Matches:
    """Find the names that equal each string.

    allowed: (strings, prefixes) mask of the prefixes in which to look each string up
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
