"""The names that shards give to their documents without an id: the same where a folder of inputs has moved."""

from collections.abc import Callable, Container, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.storage.shards import Shard


def names_by_path(
    shards: Sequence[Shard], listed: Container[str], finished_shards: pa.Table, exists: Callable[[str], bool]
) -> list[str]:
    """The names by which the documents without an id of some shards are called.

    listed:          addresses of all shards of the inputs, also of those that need no name since they are not read
    finished_shards: columns of SHARDS, one row per shard
    exists:          tells whether there is a file at an address

    A shard keeps the name that it had when it was read last. A new one is called by its path from its input's own
    folder on (`Shard.path`). If another shard that is there has this name, it is called by its address.
    """
    rows = _concerning(shards, finished_shards).to_pylist()
    by_name = {row["named"] or row["shard"]: row for row in sorted(rows, key=lambda row: row["run_id"] or "")}
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


def _concerning(shards: Sequence[Shard], finished_shards: pa.Table) -> pa.Table:
    """The finished shards that have or had a name that one of some shards has or may get, of millions a few."""
    addresses = pa.array([shard.name for shard in shards], pa.string())
    paths = pa.chunked_array([pa.array([shard.path for shard in shards], pa.string())])
    rows = finished_shards.select(["shard", "size", "tag", "named", "run_id"])
    names = pc.coalesce(rows["named"], rows["shard"])
    theirs = names.filter(pc.is_in(rows["shard"], addresses))
    return rows.filter(pc.is_in(names, pa.chunked_array([*paths.chunks, *theirs.chunks], pa.string())))
