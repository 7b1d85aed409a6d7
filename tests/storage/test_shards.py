"""Shards in columns, sorted by rank."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from craft_ray.core.settings import S3Settings
from craft_ray.readers import is_shard_name
from craft_ray.storage.listing import list_shards
from craft_ray.storage.shards import (
    FILES,
    Listing,
    Shard,
    Shards,
    files_table,
    pack_shards,
    path_start,
    ranks,
    unpack_shards,
)
from craft_ray.storage.storage import Storage

LOCAL = Storage(S3Settings())


def rank(name: str) -> tuple[str, str]:
    return name.rpartition("/")[2], name


names_of_files = st.text("ab./é𝛽\uffff\n -", min_size=1, max_size=6)


@for_all(st.lists(st.tuples(names_of_files, st.integers(0, 9)), min_size=1, max_size=12))
def test_listed_files_are_unique_and_sorted(files: list[tuple[str, int]]):
    listed = files_table((name, size, str(size), path_start(name), "") for name, size in files)
    found = list_shards(LOCAL, [], is_shard_name, listed=listed)
    assert [(shard.name, shard.size) for shard in found.shards()] == sorted(
        dict(files).items(), key=lambda file: rank(file[0])
    )


@for_all(st.sets(names_of_files), st.lists(names_of_files))
def test_names_are_found(files: set[str], wanted: list[str]):
    ranked = sorted(files, key=rank)
    listing = Listing(files_table((name, 0, "", 0, "") for name in ranked))
    rows = listing.index.find(pa.chunked_array([wanted, sorted(files), [None]], pa.string())).tolist()
    assert rows == [ranked.index(name) if name in files else -1 for name in [*wanted, *sorted(files), None]]
    assert [name in listing.index for name in wanted] == [name in files for name in wanted]
    assert [shard.name for shard in listing.shards(listing.index.find(pa.array(ranked, pa.string())))] == ranked


texts = st.text("ab./é𝛽\n", max_size=6)
shards_to_read = st.builds(
    lambda name, path, number, named, size, tag: Shard(name + path, size, tag, number, path, named, format=tag),
    *(texts, texts, st.integers(-1, 1 << 40), texts, st.integers(0, 1 << 40), texts),
)


@for_all(st.lists(shards_to_read), st.data())
def test_shards_in_columns(shards: list[Shard], data: st.DataObject):
    stored = Shards.from_shards(shards)
    assert list(stored) == shards
    assert Shards.from_shards(stored) is stored
    assert [stored[at] for at in range(-len(shards), len(shards))] == shards * 2
    assert list(stored[1:3]) == shards[1:3]
    assert (stored.numbers.tolist(), stored.sizes.tolist()) == ([s.number for s in shards], [s.size for s in shards])
    assert (stored.names.to_pylist(), stored.paths.to_pylist()) == ([s.name for s in shards], [s.path for s in shards])
    rows = data.draw(st.lists(st.integers(0, len(shards) - 1))) if shards else []
    assert list(stored.take(np.array(rows, np.int64))) == [shards[at] for at in rows]
    numbers = np.arange(len(shards), dtype=np.int64)
    assert list(stored.with_numbers(numbers).with_names(stored.paths)) == [
        replace(shard, number=number, named=shard.path) for number, shard in enumerate(shards)
    ]
    with pytest.raises(IndexError):
        stored[len(shards)]


@for_all(st.lists(shards_to_read))
def test_packing(shards: list[Shard]):
    parts = [replace(shard, part=1, parts=3) for shard in shards]
    assert unpack_shards(pack_shards(parts)) == parts


@for_all(st.lists(names_of_files), st.lists(names_of_files))
def test_ranks(some: list[str], others: list[str]):
    together = [*some, *others]
    in_order = sorted(set(together), key=rank)
    found = ranks(pa.chunked_array([some, others], pa.large_string()))
    assert found.tolist() == [in_order.index(name) + 1 for name in together]


def test_memory_is_little_more_than_the_strings():
    files = 10_000
    rows = ((f"s3://bucket/folder-{n % 7}/PMC{n}.xml", n, f"{n:032x}", 12, "") for n in range(files))
    before = pa.total_allocated_bytes()
    listing = list_shards(LOCAL, [], is_shard_name, listed=files_table(rows))
    assert listing.files.schema == FILES
    listed = pa.total_allocated_bytes()
    shards = listing.shards(np.arange(files))
    shards = shards.with_names(shards.paths).with_numbers(np.arange(files))
    added = pa.total_allocated_bytes() - listed
    strings = sum(len(shard.name) + len(shard.tag) for shard in shards) / files
    names = sum(len(shard.named) for shard in shards) / files
    assert (listed - before) / files < strings + 40
    assert added / files < strings + names + 50
