"""Two lexicons as one: the second fills in what the first has not."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.concepts.lexicon import CORPUS, Lexicon
from craft_ray.concepts.packing import with_fingerprint


def merged(first: Lexicon, second: Lexicon) -> Lexicon:
    """All of the first; of the second the prefixes that the first has no names of, and of others a corpus's strings.

    So a user's new ontology takes the place of an old one, and what an annotated corpus taught stays.
    """
    prefixes = (*first.prefixes, *(prefix for prefix in second.prefixes if prefix not in first.prefixes))
    named = np.unique(first.ontology[first.concept[first.tier != CORPUS]])
    replaced = np.array([p in first.prefixes and first.prefixes.index(p) in named for p in second.prefixes], np.bool_)
    # Each concept of the second by its number in the result: a known one, or a new one after those of the first.
    number = first.indices(second.ids)
    kept = (second.tier == CORPUS) | ~replaced[second.ontology[second.concept]]
    wanted = ~replaced[second.ontology]
    wanted[second.concept[kept]] = True
    new = np.flatnonzero(wanted & (number < 0))
    number[new] = len(first.ids) + np.arange(len(new))
    prefix_number = np.array([prefixes.index(prefix) for prefix in second.prefixes], np.uint8)

    columns: dict[str, NDArray[Any]] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)[kept]])
        for name in ("key", "folded", "exact", "tier")
    }
    columns["concept"] = np.concatenate([first.concept, number[second.concept[kept]].astype(np.uint32)])
    order = np.argsort(columns["key"], kind="stable")
    prior = np.concatenate([first.prior, second.prior[new]])
    known = np.flatnonzero(number >= 0)
    np.maximum.at(prior, number[known], second.prior[known])
    child = np.concatenate([_children(first), number[_children(second)]])
    parent = np.concatenate([first.parent.astype(np.int64), number[second.parent]])
    # The first's own hierarchy counts where it has one.
    usable = (child >= 0) & (parent >= 0)
    usable[len(first.parent) :] &= child[len(first.parent) :] >= len(first.ids)
    child, parent = child[usable], parent[usable]
    rows = np.lexsort((parent, child))
    count = len(first.ids) + len(new)
    old_ids, old_concept = _older(first, second, number)
    return with_fingerprint(
        Lexicon(
            key=columns["key"][order],
            folded=columns["folded"][order],
            exact=columns["exact"][order],
            tier=columns["tier"][order],
            concept=columns["concept"][order],
            ids=_joined(first.ids, second.ids.take(pa.array(new))),
            names=_joined(first.names, second.names.take(pa.array(new))),
            ontology=np.concatenate([first.ontology, prefix_number[second.ontology[new]]]),
            prior=prior,
            specific=np.concatenate([first.specific, second.specific[new]]),
            parent_start=np.concatenate([[0], np.cumsum(np.bincount(child, minlength=count))]).astype(np.int64),
            parent=parent[rows].astype(np.uint32),
            old_ids=old_ids,
            old_concept=old_concept,
            prefixes=prefixes,
            sources=first.sources + tuple(s for s in second.sources if _is_used(s, first.prefixes, named)),
        )
    )


def _is_used(source: dict[str, object], prefixes: tuple[str, ...], named: NDArray[Any]) -> bool:
    """True if a source of the second lexicon is in the result: a corpus, or an ontology that the first has not."""
    return source["prefix"] not in [prefixes[n] for n in named]


def _children(lexicon: Lexicon) -> NDArray[Any]:
    return np.repeat(np.arange(len(lexicon.ids)), np.diff(lexicon.parent_start))


def _older(first: Lexicon, second: Lexicon, number: NDArray[Any]) -> tuple[pa.StringArray, NDArray[Any]]:
    """The old ids of both, each with its concept; the first's count where both have one."""
    concept = number[second.old_concept]
    new = (concept >= 0) & ~pc.is_in(second.old_ids, first.old_ids).to_numpy(zero_copy_only=False)
    ids = _joined(first.old_ids, second.old_ids.filter(pa.array(new)))
    return ids, np.concatenate([first.old_concept, concept[new].astype(np.uint32)])


def _joined(*arrays: pa.Array) -> pa.StringArray:
    return pa.concat_arrays(list(arrays))
