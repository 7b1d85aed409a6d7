"""A lexicon: the names of ontologies' concepts as sorted arrays, 16 bytes per name.

It holds no Python object per name, so one copy in Ray's object store serves all workers of a node.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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

    @cached_property
    def has_xrefs(self) -> NDArray[np.bool_]:
        """(concepts,) mask of the concepts that other vocabularies have as well."""
        return np.bincount(self.xref_concept, minlength=len(self.ids)) > 0

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


def with_fingerprint(lexicon: Lexicon) -> Lexicon:
    digest = hashlib.sha256(json.dumps([lexicon.prefixes, lexicon.sources], sort_keys=True).encode())
    columns = "key folded exact tier concept prior taxon parent_start parent old_concept xref_concept"
    for name in columns.split():
        digest.update(getattr(lexicon, name).tobytes())
    for array in (lexicon.ids, lexicon.names, lexicon.old_ids, lexicon.xrefs):
        for text in array.to_pylist():
            digest.update(b"\0" if text is None else text.encode() + b"\n")
    return replace(lexicon, fingerprint=digest.hexdigest())


def merged(first: Lexicon, second: Lexicon) -> Lexicon:
    """Combine all of `first` with the corpus of `second`, and with its ontologies that `first` has no names of.

    So a user's new ontology replaces an old one, and the annotations of a corpus stay in use.
    """
    prefixes = (*first.prefixes, *(prefix for prefix in second.prefixes if prefix not in first.prefixes))
    named = {first.prefixes[n] for n in np.unique(first.ontology[first.concept[first.tier != CORPUS]]).tolist()}
    is_replaced = np.array([prefix in named for prefix in second.prefixes], np.bool_)
    kept = (second.tier == CORPUS) | ~is_replaced[second.ontology[second.concept]]
    is_wanted = ~is_replaced[second.ontology]
    is_wanted[second.concept[kept]] = True

    # Index in the result of each concept of `second`: that of the first, or a new one after those.
    index = first.indices(second.ids)
    known = np.flatnonzero(index >= 0)
    new = np.flatnonzero(is_wanted & (index < 0))
    index[new] = len(first.ids) + np.arange(len(new))
    concepts = len(first.ids) + len(new)

    names: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)[kept]])
        for name in ("key", "folded", "exact", "tier")
    }
    names["concept"] = np.concatenate([first.concept, index[second.concept[kept]].astype(np.uint32)])
    order = np.argsort(names["key"], kind="stable")
    prior = np.concatenate([first.prior, second.prior[new]])
    np.maximum.at(prior, index[known], second.prior[known])

    child, parent = index[second.child], index[second.parent]
    is_new = (child >= len(first.ids)) & (parent >= 0)  # a concept that `first` has keeps its parents there
    parent_start, parents = group_parents(
        np.concatenate([first.child, child[is_new]]), np.concatenate([first.parent, parent[is_new]]), concepts
    )
    old_concept = index[second.old_concept]
    is_new_id = (old_concept >= 0) & ~pc.is_in(second.old_ids, first.old_ids).to_numpy(zero_copy_only=False)
    xref_concept = index[second.xref_concept]
    take = pa.array(new)
    xrefs = pa.concat_arrays([first.xrefs, second.xrefs.filter(pa.array(xref_concept >= 0))])
    xref_rows = distinct_pairs(xrefs, np.concatenate([first.xref_concept, xref_concept[xref_concept >= 0]]))
    prefix_index = np.array([prefixes.index(prefix) for prefix in second.prefixes], np.uint8)
    return with_fingerprint(
        Lexicon(
            **{name: column[order] for name, column in names.items()},
            ids=pa.concat_arrays([first.ids, second.ids.take(take)]),
            names=pa.concat_arrays([first.names, second.names.take(take)]),
            ontology=np.concatenate([first.ontology, prefix_index[second.ontology[new]]]),
            prior=prior,
            taxon=np.concatenate([first.taxon, second.taxon[new]]),
            parent_start=parent_start,
            parent=parents,
            old_ids=pa.concat_arrays([first.old_ids, second.old_ids.filter(pa.array(is_new_id))]),
            old_concept=np.concatenate([first.old_concept, old_concept[is_new_id].astype(np.uint32)]),
            xrefs=xref_rows[0],
            xref_concept=xref_rows[1],
            prefixes=prefixes,
            sources=first.sources + tuple(source for source in second.sources if source["prefix"] not in named),
        )
    )
