"""Combine two lexicons. The second fills in the ontologies that the first lacks."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.concepts.lexicon import CORPUS, Lexicon, distinct_pairs, group_parents
from craft_ray.concepts.packing import with_fingerprint


def merged(first: Lexicon, second: Lexicon) -> Lexicon:
    """All of `first`, and of `second` the strings of its corpus and the ontologies that `first` has no names of.

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
