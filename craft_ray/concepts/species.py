"""The species whose genes a document speaks of."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.concepts.hierarchy import lineage
from craft_ray.concepts.lexicon import Lexicon, group_parents

HUMAN = 9606
"""Number in the NCBI Taxonomy of the species that documents need not name."""


UNKNOWN = -1
"""A species whose genes are not known, though those of its relatives are."""


def species_of_taxa(lexicon: Lexicon) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """Ids of taxa, and (taxa,) the number of the only species with genes that each one is or contains.

    So `mouse` is a species even as the genus Mus. Subspecies are left out. Taxa that contain several species have 0,
    and others of the smallest group that contains all UNKNOWN, as rats do where the species are human and mouse.
    """
    species = np.setdiff1d(lexicon.taxon, [0, 1])
    index = lexicon.indices([f"NCBITaxon:{number}" for number in species.tolist()])
    number = dict(zip(index.tolist(), species.tolist(), strict=True))
    below, above, distance = lineage(lexicon, index[index >= 0])
    of_species = ~np.isin(below, below[np.isin(above, index) & (above != below)])
    below, above, distance = below[of_species], above[of_species], distance[of_species]
    taxa, first, count = np.unique(above, return_index=True, return_counts=True)
    meant = np.array([number[one] for one in below[first].tolist()], np.int64) * (count == 1)
    shared = np.flatnonzero(count == len(np.unique(below)))
    if not len(shared):
        return lexicon.ids.take(pa.array(taxa)), meant
    steps = np.bincount(np.searchsorted(taxa, above), distance)
    start, child = group_parents(lexicon.parent, lexicon.child, len(lexicon.ids))
    group = lineage(replace(lexicon, parent_start=start, parent=child), taxa[shared[np.argmin(steps[shared])]][None])
    others = np.setdiff1d(group.ancestor, taxa)
    return lexicon.ids.take(pa.array(np.append(taxa, others))), np.append(meant, np.full(len(others), UNKNOWN))


def species_near(row: NDArray[np.int64], start: NDArray[np.int64], named: NDArray[np.int64]) -> NDArray[np.int64]:
    """(mentions, 3) species: the one named last before each mention, the one its document names most, and HUMAN.

    All three are UNKNOWN where the first is.

    row, start: (mentions,) document and offset of each mention
    named:      (mentions,) the species that the mention names, 0 if it names none
    """
    names = np.flatnonzero(named)
    species, which = np.unique(named[names], return_inverse=True)
    counts = np.zeros((row.max(initial=0) + 1, len(species) + 1), np.int64)
    np.add.at(counts, (row[names], which), 1)
    most = np.append(species, HUMAN)[np.where(counts.any(axis=1), np.argmax(counts, axis=1), len(species))][row]
    place = (row << 32) | start
    names = names[np.argsort(place[names])]
    last = np.searchsorted(place[names], place) - 1
    here = names[last] if len(names) else np.zeros(len(row), np.int64)
    before = np.where((last >= 0) & (row[here] == row), named[here], most)
    near = np.column_stack([before, most, np.full(len(row), HUMAN)])
    near[before == UNKNOWN] = UNKNOWN
    return near
