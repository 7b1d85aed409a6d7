"""Millions of input files in Arrow columns, sorted by rank."""

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
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
    """A file to read, or a part of an archive.

    name:   absolute path or s3:// address
    tag:    changes with the content: the ETag of an object, the modification time of a file
    number: rank among all known shards, by base name and then path, which is the order of issue of PubMed's files
    path:   starts at the input's own folder, as `notes/a.txt`, so that it survives a move of that folder
    named:  prefix of the ids of documents without an id
    format: reader to use, overriding the settings
    part:   index of the part of an archive, of `parts`
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


_VALUES = attrgetter(*(one.name for one in fields(Shard)))


def pack_shards(shards: Iterable[Shard]) -> bytes:
    """Serialize shards for a task."""
    return zlib.compress(json.dumps([_VALUES(shard) for shard in shards]).encode(), 1)


def unpack_shards(content: bytes) -> list[Shard]:
    return [Shard(*values) for values in json.loads(zlib.decompress(content))]


FILES = pa.schema(
    [
        ("name", pa.large_string()),  # a `string` column ends at 2 GB
        ("size", pa.int64()),
        ("tag", pa.large_string()),
        ("path_start", pa.int32()),
        ("format", pa.string()),
    ]
)
"""Fields of `Shard`. `path` is the part of the name from `path_start` (code points) on."""

File = tuple[str, int, str, int, str]
"""A row of FILES."""

_CHUNK_ROWS = 1 << 10
"""Rows that exist as Python objects at a time."""

_COMPARED = 1 << 16
"""Names copied at a time to compare them."""


def files_table(files: Iterable[File]) -> pa.Table:
    rows = iter(files)
    batches = []
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        columns = zip(zip(*chunk, strict=True), FILES.types, strict=True)
        batches.append(pa.record_batch([pa.array(values, kind) for values, kind in columns], FILES))
    return pa.Table.from_batches(batches, FILES)


class Shards(Sequence[Shard]):
    """A sequence of shards stored in columns: those of FILES, `number` and `named`."""

    def __init__(self, columns: pa.Table) -> None:
        self._columns = columns

    @classmethod
    def from_shards(cls, shards: Sequence[Shard]) -> "Shards":
        """Store shards in columns. Each `path` must be the end of its name."""
        if isinstance(shards, cls):
            return shards
        files = ((one.name, one.size, one.tag, len(one.name) - len(one.path), one.format) for one in shards)
        numbers = np.array([one.number for one in shards], np.int64)
        named = pa.chunked_array([[one.named for one in shards]], pa.large_string())
        return cls.from_files(files_table(files)).with_names(named).with_numbers(numbers)

    @classmethod
    def from_files(cls, files: pa.Table) -> "Shards":
        """Make shards of rows of FILES, without numbers and names."""
        columns = files.append_column("number", pa.repeat(pa.scalar(-1, pa.int64()), len(files)))
        return cls(columns.append_column("named", pa.repeat(pa.scalar("", pa.large_string()), len(files))))

    def with_numbers(self, numbers: NDArray[np.int64]) -> "Shards":
        return Shards(self._columns.set_column(len(FILES), "number", pa.array(numbers)))

    def with_names(self, named: pa.ChunkedArray) -> "Shards":
        return Shards(self._columns.set_column(len(FILES) + 1, "named", named))

    def take(self, rows: NDArray[np.int64]) -> "Shards":
        return Shards(self._columns.take(pa.array(rows)))

    def __len__(self) -> int:
        return int(self._columns.num_rows)

    @overload
    def __getitem__(self, at: int) -> Shard: ...

    @overload
    def __getitem__(self, at: slice) -> "Shards": ...

    def __getitem__(self, at: int | slice) -> "Shard | Shards":
        rows = range(len(self))[at]
        if isinstance(rows, range):
            return self.take(np.array(rows, np.int64))
        (shard,) = Shards(self._columns.slice(rows, 1))
        return shard

    def __iter__(self) -> Iterator[Shard]:
        for rows in self._columns.to_batches(_CHUNK_ROWS):
            columns = (column.to_pylist() for column in rows.columns)
            for name, size, tag, start, format, number, named in zip(*columns, strict=True):
                yield Shard(name, size, tag, number, name[start:], named, format)

    @property
    def names(self) -> pa.ChunkedArray:
        return self._columns["name"]

    @property
    def numbers(self) -> NDArray[np.int64]:
        numbers: NDArray[np.int64] = self._columns["number"].to_numpy()
        return numbers

    @property
    def sizes(self) -> NDArray[np.int64]:
        sizes: NDArray[np.int64] = self._columns["size"].to_numpy()
        return sizes

    @property
    def paths(self) -> pa.ChunkedArray:
        """All paths, in one chunk."""
        paths = [no_names()]
        for rows in self._columns.select(["name", "path_start"]).to_batches(_CHUNK_ROWS):
            names, starts = (column.to_pylist() for column in rows.columns)
            ends = [name[start:] for name, start in zip(names, starts, strict=True)]
            paths.append(pa.array(ends, pa.large_string()))
        return pa.chunked_array([pa.concat_arrays(paths)])


def no_names() -> pa.LargeStringArray:
    return pa.array([], pa.large_string())


@dataclass(frozen=True)
class Listing:
    """The files of the inputs.

    files:         rows of FILES sorted by rank, with unique names
    ignored_files: names of files in the inputs' folders that are no input
    """

    files: pa.Table
    ignored_files: pa.LargeStringArray = field(default_factory=no_names)

    def __len__(self) -> int:
        return int(self.files.num_rows)

    def shards(self, rows: NDArray[np.int64] | None = None) -> Shards:
        """Make shards of some rows; of all by default."""
        return Shards.from_files(self.files if rows is None else self.files.take(pa.array(rows)))

    @cached_property
    def index(self) -> "NameIndex":
        return NameIndex(_whole(self.files["name"]))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Combine chunks, which would copy even a single one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class NameIndex:
    """Finds the row of a name among millions of unique ones by bisection; a hash table would copy them."""

    def __init__(self, names: pa.LargeStringArray) -> None:
        self._order: NDArray[np.uint64] | None = None
        if not pc.all(pc.less(names[:-1], names[1:])).as_py():
            order = pc.sort_indices(names)
            self._order, names = order.to_numpy(), names.take(order)
        self._names = names

    def find(self, names: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the row of each name, -1 for unknown ones; (names,)."""
        if isinstance(names, pa.ChunkedArray):
            return np.concatenate([np.empty(0, np.int64), *map(self.find, names.chunks)])
        if not len(self._names):
            return np.full(len(names), -1)
        names = pc.fill_null(names, "").cast(pa.large_string())
        at = np.minimum(pc.search_sorted(self._names, names).to_numpy(), len(self._names) - 1)
        found = pc.equal(self._names.take(pa.array(at)), names).to_numpy(zero_copy_only=False)
        row = at if self._order is None else self._order[at]
        return np.where(found, row.astype(np.int64), -1)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.find(pa.array([name]))[0] >= 0)


def ranks(names: pa.ChunkedArray) -> NDArray[np.int64]:
    """Rank names from 1 by base name and then name; equal names share a rank; (names,)."""
    whole = _whole(names)
    order = pc.sort_indices(_keys(names), [("base", "ascending"), ("name", "ascending")]).to_numpy()
    ranked = np.empty(len(order), np.int64)
    ranked[order] = np.cumsum(first_occurrences(whole, order))
    return ranked


def ranked(files: pa.Table) -> pa.Table:
    """Sort rows of FILES by rank. Of rows with the same name, the last of those with the longest path stays."""
    keys = _keys(files["name"]).append_column("path_start", files["path_start"])
    order = pc.sort_indices(
        keys, [("base", "ascending"), ("name", "ascending"), ("path_start", "descending")]
    ).to_numpy()
    del keys
    last = np.append(first_occurrences(_whole(files["name"]), order), True)[1:]
    return files.take(pa.array(order[last]))


def _keys(names: pa.ChunkedArray) -> pa.Table:
    """Sort keys. Arrow compares UTF-8 bytes, which gives the order of code points."""
    return pa.table({"name": names, "base": pc.replace_substring_regex(names, "(?s)^.*/", "")})


def first_occurrences(names: pa.LargeStringArray, order: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Mask of the names that differ from their predecessor in an order; (names,)."""
    differs = np.ones(len(order), np.bool_)
    for start in range(1, len(order), _COMPARED):
        compared = names.take(pa.array(order[start - 1 : start + _COMPARED]))
        differs[start : start + _COMPARED] = pc.not_equal(compared[1:], compared[:-1]).to_numpy(zero_copy_only=False)
    return differs


def path_start(name: str, top: str | None = None) -> int:
    """Index in a file's name at which its `path` starts: the base name of a folder above it, by default its own."""
    if top is None:
        top = name[: max(0, name.rfind("/"))]
    start = max(0, top.rfind("/"))
    while name.startswith("/", start):
        start += 1
    return start
