"""Files to read, in columns and in the order of their rank: a Python object for each of millions would not fit."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Shard:
    """A file to read.

    name:   its absolute path or s3:// address
    tag:    changes with the content: an object's ETag, a file's time of change
    number: its rank among all shards known. Ranks order shards by base name, then path: PubMed's files, named in order
            of issue, in order of issue
    path:   from the input's own folder on, as `notes/a.txt`; it stays where a folder of inputs moves
    named:  the name by which its documents without an id are called (`annotation/naming.py`)
    format: the format that it is read as, whatever the settings say
    part:   the part of an archive that a task reads, of so many `parts` (`readers/parts.py`)
    """

    name: str
    size: int
    tag: str = ""
    number: int = -1
    path: str = ""
    named: str = ""
    format: str = ""
    part: int = 0
    parts: int = 1


_VALUES = attrgetter(*(field.name for field in fields(Shard)))


def pack_shards(shards: Iterable[Shard]) -> bytes:
    """Some shards as few bytes, to be sent to a task; `unpack_shards` gives them again."""
    return zlib.compress(json.dumps([_VALUES(shard) for shard in shards]).encode(), 1)


def unpack_shards(content: bytes) -> list[Shard]:
    """The shards that `pack_shards` encoded."""
    return [Shard(*values) for values in json.loads(zlib.decompress(content))]


FILES = pa.schema(
    [
        ("name", pa.large_string()),  # names of many millions of files take more than the 2 GB that a `string` may have
        ("size", pa.int64()),
        ("tag", pa.large_string()),
        ("path_start", pa.int32()),
        ("format", pa.string()),
    ]
)
"""Files in columns, as in `Shard`: a Python object for each of millions would not fit into the driver's memory.

`path_start` is the place in the name, in code points, from which on it is the `path`.
"""

File = tuple[str, int, str, int, str]
"""A row of FILES."""

_AT_ONCE = 1 << 10
"""Files that are Python objects while they go into columns; of more at once the garbage collector would take notice."""


_COMPARED = 1 << 16
"""Names that are copied at once to be compared."""


def files_table(files: Iterable[File]) -> pa.Table:
    """Rows of FILES as a table."""
    coming = iter(files)
    batches = []
    while some := list(islice(coming, _AT_ONCE)):
        columns = zip(zip(*some, strict=True), FILES.types, strict=True)
        batches.append(pa.record_batch([pa.array(values, kind) for values, kind in columns], FILES))
    return pa.Table.from_batches(batches, FILES)


class Shards(Sequence[Shard]):
    """Whole files to read, in columns; a Shard is made when it is asked for.

    columns: rows of FILES, and of each file its `number` and what it is `named`
    """

    def __init__(self, columns: pa.Table) -> None:
        self._columns = columns

    @classmethod
    def from_shards(cls, shards: Sequence[Shard]) -> "Shards":
        """Some shards in columns; the `path` of each is the end of its name."""
        if isinstance(shards, cls):
            return shards
        files = ((one.name, one.size, one.tag, len(one.name) - len(one.path), one.format) for one in shards)
        numbers = np.array([one.number for one in shards], np.int64)
        named = pa.chunked_array([[one.named for one in shards]], pa.large_string())
        return cls.from_files(files_table(files)).with_names(named).with_numbers(numbers)

    @classmethod
    def from_files(cls, files: pa.Table) -> "Shards":
        """The shards of rows of FILES, not yet numbered or named."""
        columns = files.append_column("number", pa.repeat(pa.scalar(-1, pa.int64()), len(files)))
        return cls(columns.append_column("named", pa.repeat(pa.scalar("", pa.large_string()), len(files))))

    def with_numbers(self, numbers: NDArray[np.int64]) -> "Shards":
        """The same with ranks; (shards,)."""
        return Shards(self._columns.set_column(len(FILES), "number", pa.array(numbers)))

    def with_names(self, named: pa.ChunkedArray) -> "Shards":
        """The same with the names of their documents without an id; (shards,) of `large_string`."""
        return Shards(self._columns.set_column(len(FILES) + 1, "named", named))

    def take(self, places: NDArray[np.int64]) -> "Shards":
        """Those at some places."""
        return Shards(self._columns.take(pa.array(places)))

    def __len__(self) -> int:
        return int(self._columns.num_rows)

    @overload
    def __getitem__(self, at: int) -> Shard: ...

    @overload
    def __getitem__(self, at: slice) -> "Shards": ...

    def __getitem__(self, at: int | slice) -> "Shard | Shards":
        places = range(len(self))[at]
        if isinstance(places, range):
            return self.take(np.array(places, np.int64))
        (shard,) = Shards(self._columns.slice(places, 1))
        return shard

    def __iter__(self) -> Iterator[Shard]:
        for rows in self._columns.to_batches(_AT_ONCE):
            columns = (column.to_pylist() for column in rows.columns)
            for name, size, tag, at, format, number, named in zip(*columns, strict=True):
                yield Shard(name, size, tag, number, name[at:], named, format)

    @property
    def names(self) -> pa.ChunkedArray:
        """The name of each; (shards,) of `large_string`."""
        return self._columns["name"]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The rank of each; (shards,)."""
        numbers: NDArray[np.int64] = self._columns["number"].to_numpy()
        return numbers

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The bytes of each; (shards,)."""
        sizes: NDArray[np.int64] = self._columns["size"].to_numpy()
        return sizes

    @property
    def paths(self) -> pa.ChunkedArray:
        """The path of each, in one chunk; (shards,) of `large_string`."""
        paths = [pa.array([], pa.large_string())]
        for rows in self._columns.select(["name", "path_start"]).to_batches(_AT_ONCE):
            names, places = (column.to_pylist() for column in rows.columns)
            ends = [name[at:] for name, at in zip(names, places, strict=True)]
            paths.append(pa.array(ends, pa.large_string()))
        return pa.chunked_array([pa.concat_arrays(paths)])


class Names(Sequence[str]):
    """Names in a column; a `str` is made when it is asked for."""

    def __init__(self, column: pa.LargeStringArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> "Names": ...

    def __getitem__(self, at: int | slice) -> "str | Names":
        if isinstance(at, slice):
            return Names(self._column[at])
        name: str = self._column[at].as_py()
        return name


@dataclass(frozen=True)
class Listing:
    """The files of the inputs, and the names of files in folders that are no input.

    files: rows of FILES in the order of rank, each name once
    """

    files: pa.Table
    passed_over: Sequence[str] = ()

    def __len__(self) -> int:
        return int(self.files.num_rows)

    def shards(self, places: NDArray[np.int64] | None = None) -> Shards:
        """The files at some places as shards, to be read; all if None."""
        return Shards.from_files(self.files if places is None else self.files.take(pa.array(places)))

    @cached_property
    def index(self) -> "NameIndex":
        """The places of files by their names."""
        return NameIndex(_whole(self.files["name"]))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; combining a single chunk would copy it."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class NameIndex:
    """Finds the places of names among millions of different ones, by bisection: a hash table would copy them.

    names: (names,) of `large_string`
    """

    def __init__(self, names: pa.LargeStringArray) -> None:
        self._order: NDArray[np.uint64] | None = None
        if not pc.all(pc.less(names[:-1], names[1:])).as_py():
            order = pc.sort_indices(names)
            self._order, names = order.to_numpy(), names.take(order)
        self._names = names

    def find(self, names: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """The place of each name, -1 where it is none of them; (names,)."""
        if isinstance(names, pa.ChunkedArray):
            return np.concatenate([np.empty(0, np.int64), *map(self.find, names.chunks)])
        if not len(self._names):
            return np.full(len(names), -1)
        names = pc.fill_null(names, "").cast(pa.large_string())
        at = np.minimum(pc.search_sorted(self._names, names).to_numpy(), len(self._names) - 1)
        there = pc.equal(self._names.take(pa.array(at)), names).to_numpy(zero_copy_only=False)
        place = at if self._order is None else self._order[at]
        return np.where(there, place.astype(np.int64), -1)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.find(pa.array([name]))[0] >= 0)


def ranks(names: pa.ChunkedArray) -> NDArray[np.int64]:
    """The rank of each name among all, from 1, by base name and then by name; equal names have the same; (names,)."""
    whole = _whole(names)
    order = pc.sort_indices(_keys(names), [("base", "ascending"), ("name", "ascending")]).to_numpy()
    ranked = np.empty(len(order), np.int64)
    ranked[order] = np.cumsum(first_occurrences(whole, order))
    return ranked


def ranked(files: pa.Table) -> pa.Table:
    """Rows of FILES in the order of rank.

    Each name comes once: with the longest path, and of several with that the last.
    """
    keys = _keys(files["name"]).append_column("path_start", files["path_start"])
    order = pc.sort_indices(
        keys, [("base", "ascending"), ("name", "ascending"), ("path_start", "descending")]
    ).to_numpy()
    del keys
    last = np.append(first_occurrences(_whole(files["name"]), order), True)[1:]
    return files.take(pa.array(order[last]))


def _keys(names: pa.ChunkedArray) -> pa.Table:
    """Names and base names, to sort by: UTF-8 sorts by bytes as text does by code points."""
    return pa.table({"name": names, "base": pc.replace_substring_regex(names, "(?s)^.*/", "")})


def first_occurrences(names: pa.LargeStringArray, order: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """True where a name differs from the one before it in an order; (names,). Few are copied at once."""
    differs = np.ones(len(order), np.bool_)
    for at in range(1, len(order), _COMPARED):
        some = names.take(pa.array(order[at - 1 : at + _COMPARED]))
        differs[at : at + _COMPARED] = pc.not_equal(some[1:], some[:-1]).to_numpy(zero_copy_only=False)
    return differs


def path_start(name: str, top: str | None = None) -> int:
    """The place in a file's name where its path begins: at the name of a folder above it, by default its own."""
    if top is None:
        top = name[: max(0, name.rfind("/"))]
    at = max(0, top.rfind("/"))
    while name.startswith("/", at):
        at += 1
    return at
