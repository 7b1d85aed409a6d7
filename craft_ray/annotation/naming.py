"""The names that shards give to their documents without an id: the same where a folder of inputs has moved."""

from collections.abc import Callable, Container

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.storage.shards import Shard, Shards, first_occurrences


def names_by_path(
    shards: Shards, listed: Container[str], finished_shards: pa.Table, exists: Callable[[str], bool]
) -> pa.ChunkedArray:
    """The names by which the documents without an id of some shards are called; (shards,) of `large_string`.

    listed:          addresses of all shards of the inputs, also of those that need no name since they are not read
    finished_shards: columns of SHARDS, one row per shard
    exists:          tells whether there is a file at an address

    A shard keeps the name that it had when it was read last. A new one is called by its path from its input's own
    folder on (`Shard.path`). If another shard that is there has this name, it is called by its address.
    """
    paths = shards.paths
    rows = _concerning(shards.names, paths, finished_shards)
    named = pc.if_else(pa.array(_first_of_each(paths)), paths, shards.names)
    if not len(rows):
        return named
    held = np.flatnonzero(_concerned(shards.names, paths, rows))
    of_held = _held_names(shards.take(held), listed, rows, exists)
    mask = np.zeros(len(shards), np.bool_)
    mask[held] = True
    return pc.replace_with_mask(named, mask, pa.array(of_held, pa.large_string()))


def _first_of_each(paths: pa.ChunkedArray) -> NDArray[np.bool_]:
    """True for the first of the shards that have one path, which are in one chunk; (shards,)."""
    order = pc.sort_indices(paths).to_numpy()  # which keeps the order of equal ones
    first = np.empty(len(order), np.bool_)
    first[order] = first_occurrences(paths.chunk(0), order)
    return first


def _concerning(names: pa.ChunkedArray, paths: pa.ChunkedArray, finished_shards: pa.Table) -> pa.Table:
    """The finished shards that have or had a name that one of some shards has or may get, of millions a few."""
    rows = finished_shards.select(["shard", "size", "tag", "named", "run_id"])
    if not len(rows):
        return rows
    held = pc.coalesce(rows["named"], rows["shard"])
    theirs = held.filter(pc.is_in(rows["shard"], _short(names)))
    return rows.filter(pc.is_in(held, pa.chunked_array([*_short(paths).chunks, *theirs.chunks], pa.string())))


def _concerned(names: pa.ChunkedArray, paths: pa.ChunkedArray, rows: pa.Table) -> NDArray[np.bool_]:
    """True for shards that have a row, and for all whose path is a name in the rows or the path of one that has."""
    shard, held = (column.cast(pa.large_string()) for column in (rows["shard"], rows["named"]))
    has_row = pc.is_in(names, shard)
    may_get = pa.chunked_array([*held.chunks, *shard.chunks, *paths.filter(has_row).chunks], pa.large_string())
    concerned: NDArray[np.bool_] = pc.or_(has_row, pc.is_in(paths, may_get)).to_numpy()
    return concerned


def _short(strings: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same as the tables have them, in chunks that none is too long for."""
    batches = pa.table([strings], ["strings"]).to_batches(1 << 16)
    return pa.chunked_array([batch.column(0).cast(pa.string()) for batch in batches], pa.string())


def _held_names(shards: Shards, listed: Container[str], rows: pa.Table, exists: Callable[[str], bool]) -> list[str]:
    """The names of shards by what earlier runs have noted of them and of others."""
    noted = sorted(rows.to_pylist(), key=lambda row: row["run_id"] or "")
    by_name = {row["named"] or row["shard"]: row for row in noted}
    name_of = {row["shard"]: name for name, row in by_name.items()}
    taken: dict[str, str] = {name: row["shard"] for name, row in by_name.items()}

    def free(shard: Shard) -> bool:
        """True if no other shard has the path as its name, or only one that has moved to where this one is."""
        holder = taken.get(shard.path)
        if holder is None or holder in listed:
            return holder is None
        before = by_name[shard.path]
        return (before["size"], before["tag"]) == (shard.size, shard.tag) or not exists(holder)

    named = []
    for shard in shards:
        name = name_of.get(shard.name) or (shard.path if free(shard) else shard.name)
        taken[name] = shard.name
        named.append(name)
    return named
