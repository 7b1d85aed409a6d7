"""The names that documents without an id are called by: the same after a folder of inputs has moved."""

from collections.abc import Callable, Container, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.schema import SHARDS
from craft_ray.storage.shards import Listing, NameIndex, Shard, Shards, first_occurrences

ROWS = pa.schema([SHARDS.field(name) for name in ("shard", "size", "tag", "run_id", "named", "duplicates")])
"""Columns of `shards` that a run which reads anything needs, also of other files than those it reads."""


def rows_needed(
    stream: Callable[[], Iterable[pa.RecordBatch]], listing: Listing, to_read: NDArray[np.bool_]
) -> pa.Table:
    """Return the rows of `shards` that a run needs which reads some files: a few of millions.

    These are rows with duplicates, and rows whose name one of the files has or may get. All rows of such a shard are
    returned, since the last one counts.

    stream:  returns the rows, with columns ROWS; called up to three times
    to_read: mask of the files that are read, shape (files,)
    """
    paths = NameIndex(listing.shards(np.flatnonzero(to_read)).paths.chunk(0))
    wanted, names = [], []
    for rows in stream():
        file = listing.index.find(rows["shard"])
        is_read = (file >= 0) & to_read[file]
        duplicates = pc.fill_null(pc.list_value_length(rows["duplicates"]), 0).to_numpy() > 0
        wanted.append(_filter(rows["shard"], duplicates | (paths.find(rows["named"]) >= 0)))
        names.append(_filter(rows["named"], is_read))
    if any(map(len, names)):
        name_index = NameIndex(pa.concat_arrays(names))
        wanted += [_filter(rows["shard"], name_index.find(rows["named"]) >= 0) for rows in stream()]
    if not any(map(len, wanted)):
        return ROWS.empty_table()
    shards = NameIndex(pa.concat_arrays(wanted))
    return pa.Table.from_batches((rows.filter(pa.array(shards.find(rows["shard"]) >= 0)) for rows in stream()), ROWS)


def _filter(names: pa.Array, mask: NDArray[np.bool_]) -> pa.LargeStringArray:
    return names.filter(pa.array(mask)).cast(pa.large_string())


def name_shards(
    shards: Shards, listed: Container[str], finished: pa.Table, exists: Callable[[str], bool]
) -> pa.ChunkedArray:
    """The name of each shard, by which its documents without an id are called; (shards,) of `large_string`.

    listed:   addresses of all files of the inputs, also of those that are not read
    finished: the result of `rows_needed`, one row per shard
    exists:   tells whether there is a file at an address

    A shard keeps the name with which it was read last. A new one is named by its path from its input's folder on
    (`Shard.path`), or by its address if another existing shard has that name.
    """
    paths = shards.paths
    named = pc.if_else(pa.array(_first_of_each(paths)), paths, shards.names)
    if not len(finished):
        return named
    concerned = _named_before(shards.names, paths, finished)
    rows = finished.select(["shard", "size", "tag", "named", "run_id"])
    names = _names_by_rows(shards.take(np.flatnonzero(concerned)), listed, rows, exists)
    return pc.replace_with_mask(named, concerned, pa.array(names, pa.large_string()))


def _first_of_each(paths: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Mask of the first shard with each path; `paths` has one chunk."""
    order = pc.sort_indices(paths).to_numpy()  # stable
    first = np.empty(len(order), np.bool_)
    first[order] = first_occurrences(paths.chunk(0), order)
    return first


def _named_before(names: pa.ChunkedArray, paths: pa.ChunkedArray, rows: pa.Table) -> NDArray[np.bool_]:
    """Mask of the shards that an earlier run has named, by their own row or because another row has their path."""
    shard, named = (column.cast(pa.large_string()) for column in (rows["shard"], rows["named"]))
    has_row = pc.is_in(names, shard)
    in_use = pa.chunked_array([*named.chunks, *shard.chunks, *paths.filter(has_row).chunks], pa.large_string())
    mask: NDArray[np.bool_] = pc.or_(has_row, pc.is_in(paths, in_use)).to_numpy()
    return mask


def _names_by_rows(shards: Shards, listed: Container[str], rows: pa.Table, exists: Callable[[str], bool]) -> list[str]:
    """The names of shards where earlier runs have named these or others."""
    by_name = {row["named"]: row for row in sorted(rows.to_pylist(), key=lambda row: row["run_id"])}
    name_of = {row["shard"]: name for name, row in by_name.items()}
    owner: dict[str, str] = {name: row["shard"] for name, row in by_name.items()}

    def is_free(shard: Shard) -> bool:
        """True if no other shard is named by this path, or only one that has moved to this shard's address."""
        other = owner.get(shard.path)
        if other is None or other in listed:
            return other is None
        before = by_name[shard.path]
        return (before["size"], before["tag"]) == (shard.size, shard.tag) or not exists(other)

    names = []
    for shard in shards:
        name = name_of.get(shard.name) or (shard.path if is_free(shard) else shard.name)
        owner[name] = shard.name
        names.append(name)
    return names
