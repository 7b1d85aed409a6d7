"""A part of a table of entities that stands for the whole, where the whole is too long to read.

Whole row groups are read, for that is the least that can be read of a Parquet file. They are drawn label by label, in
proportion to their rows, so each label is seen however rare it is. They are weighted so that its count comes out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from craft_ray.tables.snapshots import TableVersion

LEAST = 250_000
"""Rows of each label that are read at least, where there are so many."""

DRAWN = 16_000
"""Rows for each of which one row group is drawn; several draws of the same group are one."""


@dataclass(frozen=True, slots=True)
class TableSample:
    """The part of a table that is read.

    rows:   rows of it, by label
    weight: rows of the table that each of them stands for, by label; 1 where all are read
    groups: row groups of it; 0 where the table is read whole
    """

    dataset: ds.FileSystemDataset
    rows: Mapping[str, int]
    weight: Mapping[str, float]
    groups: int = 0

    @property
    def exact(self) -> bool:
        """True if it is the whole table."""
        return self.groups == 0


def all_rows(view: TableVersion) -> TableSample:
    """All of a table."""
    rows = view.rows_by_label()
    return TableSample(view.dataset, rows, dict.fromkeys(rows, 1.0))


def sample(view: TableVersion, at_most: int, seed: int) -> TableSample:
    """About so many rows of a table that is partitioned by label; all of it if it has no more."""
    totals = view.rows_by_label()
    if sum(totals.values()) <= at_most:
        return all_rows(view)
    share = at_most / sum(totals.values())
    drawn: list[ds.ParquetFileFragment] = []
    rows: dict[str, int] = {}
    by_label: dict[str, list[ds.ParquetFileFragment]] = {}
    for fragment in view.dataset.get_fragments():
        by_label.setdefault(view.label[fragment.path], []).append(fragment)
    for number, label in enumerate(sorted(totals)):
        wanted = min(totals[label], max(math.ceil(totals[label] * share), LEAST))
        mine = sorted(by_label.get(label, []), key=lambda fragment: str(fragment.path))
        sizes = [view.rows[fragment.path] for fragment in mine]
        parts, rows[label] = _draw(mine, sizes, wanted, np.random.default_rng([seed, number]))
        drawn += parts
    dataset = ds.FileSystemDataset(drawn, view.dataset.schema, view.dataset.format, view.dataset.filesystem)
    weight = {label: totals[label] / rows[label] for label in totals if rows[label]}
    return TableSample(dataset, rows, weight, len(drawn))


def _draw(
    fragments: Sequence[ds.ParquetFileFragment], sizes: Sequence[int], wanted: int, random: np.random.Generator
) -> tuple[list[ds.ParquetFileFragment], int]:
    """Row groups at places that are spread evenly over all rows, taken in random order until they hold enough.

    Where groups are small the places are twice as many, and again, until they do.
    """
    total = sum(sizes)
    if wanted >= total:
        return list(fragments), total
    ends = np.cumsum(sizes)
    taken: dict[tuple[int, int], ds.ParquetFileFragment] = {}
    rows, draws = 0, math.ceil(wanted / DRAWN)
    while rows < wanted:
        places = (np.arange(draws) + random.random()) * (total / draws)
        for place in random.permutation(places):
            file = int(np.searchsorted(ends, place, side="right"))
            group = _group_at(fragments[file].row_groups, place - (ends[file] - sizes[file]))
            if (file, group.id) not in taken:
                taken[file, group.id] = fragments[file].subset(row_group_ids=[group.id])
                rows += group.num_rows
            if rows >= wanted:
                break
        draws *= 2
    return list(taken.values()), rows


def _group_at(groups: Sequence[Any], row: float) -> Any:
    for group in groups:
        row -= group.num_rows
        if row < 0:
            return group
    return groups[-1]


def is_sorted_by_mention(part: TableSample, label: Mapping[str, str]) -> bool:
    """True if most of a sample's row groups hold mentions that no other has, as `compact --sort mention` leaves them.

    label: of each file, by path

    Then a sample of row groups has some mentions whole and others not at all, and says nothing of the most frequent.
    """
    bounds: dict[str, list[tuple[Any, Any]]] = {}
    for fragment in part.dataset.get_fragments():
        for group in fragment.row_groups:
            if found := (group.statistics or {}).get("mention"):
                bounds.setdefault(label[fragment.path], []).append((found["min"], found["max"]))
    apart = pairs = 0
    for ranges in bounds.values():
        ranges.sort()
        apart += sum(low[1] <= high[0] and low != high for low, high in pairwise(ranges))
        pairs += len(ranges) - 1
    return apart > pairs / 2
