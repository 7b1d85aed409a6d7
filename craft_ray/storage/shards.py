"""The files that the inputs stand for, in the order in which they are ranked."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.storage.addresses import absolute, is_remote, restored
from craft_ray.storage.failures import as_settings_error
from craft_ray.storage.local import check_listable, nearest_beside
from craft_ray.storage.storage import Storage


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


FILES = pa.schema(
    [
        ("name", pa.large_string()),  # names of many millions of files take more than the 2 GB that a `string` may have
        ("size", pa.int64()),
        ("tag", pa.large_string()),
        ("path_at", pa.int32()),
        ("format", pa.string()),
    ]
)
"""Files in columns, as in `Shard`: a Python object for each of millions would not fit into the driver's memory.

`path_at` is the place in the name, in code points, from which on it is the `path`.
"""

File = tuple[str, int, str, int, str]
"""A row of FILES."""

_AT_ONCE = 1 << 10
"""Files that are Python objects while they go into columns; of more at once the garbage collector would take notice."""


def in_columns(files: Iterable[File]) -> pa.Table:
    """Rows of FILES as a table."""
    coming = iter(files)
    batches = []
    while some := list(islice(coming, _AT_ONCE)):
        columns = zip(zip(*some, strict=True), FILES.types, strict=True)
        batches.append(pa.record_batch([pa.array(values, kind) for values, kind in columns], FILES))
    return pa.Table.from_batches(batches, FILES)


@dataclass(frozen=True)
class Listing:
    """The files of the inputs, and the files in folders that are no input by their name.

    files: rows of FILES in the order of rank, each name once
    """

    files: pa.Table
    passed_over: list[str]

    def __len__(self) -> int:
        return int(self.files.num_rows)

    def shards(self, places: NDArray[np.int64] | None = None) -> list[Shard]:
        """The files at some places as shards, to be read; all if None."""
        wanted = np.arange(len(self)) if places is None else places
        shards: list[Shard] = []
        for at in range(0, len(wanted), _AT_ONCE):
            rows = self.files.take(pa.array(wanted[at : at + _AT_ONCE]))
            columns = (rows[name].to_pylist() for name in FILES.names)
            shards += [
                Shard(name, size, tag, path=name[path_at:], format=format)
                for name, size, tag, path_at, format in zip(*columns, strict=True)
            ]
        return shards

    @cached_property
    def places(self) -> "Places":
        """The places of files by their names."""
        return Places(_whole(self.files["name"]))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; combining a single chunk would copy it."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


class Places:
    """Finds the places of names among millions of different ones, by bisection: a hash table would copy them.

    names: (names,) of `large_string`
    """

    def __init__(self, names: pa.LargeStringArray) -> None:
        self._order: NDArray[np.uint64] | None = None
        if not pc.all(pc.less(names[:-1], names[1:])).as_py():
            order = pc.sort_indices(names)
            self._order, names = order.to_numpy(), names.take(order)
        self._names = names

    def of(self, names: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """The place of each name, -1 where it is none of them; (names,)."""
        if isinstance(names, pa.ChunkedArray):
            return np.concatenate([np.empty(0, np.int64), *map(self.of, names.chunks)])
        if not len(self._names):
            return np.full(len(names), -1)
        names = pc.fill_null(names, "").cast(pa.large_string())
        at = np.minimum(pc.search_sorted(self._names, names).to_numpy(), len(self._names) - 1)
        there = pc.equal(self._names.take(pa.array(at)), names).to_numpy(zero_copy_only=False)
        place = at if self._order is None else self._order[at]
        return np.where(there, place.astype(np.int64), -1)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.of(pa.array([name]))[0] >= 0)


def list_shards(
    storage: Storage,
    inputs: Sequence[str],
    is_input: Callable[[str], bool],
    output: str | None = None,
    listed: pa.Table | None = None,
    complete: bool = False,
) -> Listing:
    """Find the files of files, folders (with all below them) and globs, each once, sorted by rank.

    is_input: tells by its base name whether a file found in a folder is input; what is named outright always is. What
    lies in the output, or below a name that starts with a dot or an underscore, never is.
    listed:   rows of FILES that a list names beside the inputs; they are not looked up, and the last of a name counts
    complete: whether a folder that cannot be listed is an error; else it is left out

    Raises SettingsError if an input does not exist, holds no shard, or cannot be reached.
    """
    passed_over: set[str] = set()
    found = [in_columns(_inputs(storage, given, is_input, output, complete, passed_over)) for given in inputs]
    files = pa.concat_tables([*found, FILES.empty_table() if listed is None else listed]).combine_chunks()
    del found, listed  # what is in memory twice is what a run takes at the most
    if not files.num_rows and not passed_over:
        raise SettingsError("no input is named: give files, folders or globs, or a list of files")
    if not files.num_rows:
        raise SettingsError(f"no input file is of a known kind: {', '.join(sorted(passed_over)[:3])}")
    listing = Listing(_ranked(files), [])
    del files
    pa.default_memory_pool().release_unused()
    if not passed_over:
        return listing
    others = pa.array(sorted(passed_over), pa.large_string())
    return Listing(listing.files, others.filter(pa.array(listing.places.of(others) < 0)).to_pylist())


def _inputs(
    storage: Storage,
    given: str,
    is_input: Callable[[str], bool],
    output: str | None,
    complete: bool,
    passed_over: set[str],
) -> Iterator[File]:
    """The files that are input of those that a path, folder or glob stands for; the others are entered as passed over.

    Raises SettingsError if there are none at all, or they cannot be reached.
    """
    nothing = True
    with as_settings_error(f"the input {given}"):
        for file, below in _files(storage, absolute(given), complete):
            nothing = False
            name = file[0]
            if output is not None and name.startswith(f"{output}/"):
                continue
            hidden = any(part.startswith((".", "_")) for part in below)
            if (readable := _readable(name)) != name:
                passed_over.add(readable)  # no table can hold the name
            elif not below or (is_input(below[-1]) and not hidden):
                yield file
            else:
                passed_over.add(name)
    if nothing:
        raise SettingsError(f"the input {given} holds no files")


def _ranked(files: pa.Table) -> pa.Table:
    """Rows of FILES, which are in one chunk, in the order of rank.

    Each name comes once: with the longest path, and of several with that the last. UTF-8 sorts by bytes as text does by
    code points.
    """
    keys = files.select(["name", "path_at"])
    keys = keys.append_column("base", pc.replace_substring_regex(files["name"], "(?s)^.*/", ""))
    order = pc.sort_indices(keys, [("base", "ascending"), ("name", "ascending"), ("path_at", "descending")])
    del keys
    names = _whole(files["name"]).take(order)
    last = pa.concat_arrays([pc.not_equal(names[:-1], names[1:]), pa.array([True])])
    del names
    return files.take(order.filter(last))


def file_of_format(storage: Storage, given: str, format: str) -> pa.Table:
    """One file that is read as a format, a row of FILES; its tag tells the format, so that it is read anew as another.

    Raises SettingsError if there is no such file, or it cannot be reached.
    """
    with as_settings_error(f"the file {given}"):
        found = list(_files(storage, absolute(given)))
    if len(found) != 1:
        raise SettingsError(f"{given} is not one file but {len(found)}")
    (((name, size, tag, _, _), _),) = found
    return in_columns([(name, size, f"{tag} {format}", path_at(name), format)])


def _files(storage: Storage, url: str, complete: bool = False) -> Iterator[tuple[File, list[str]]]:
    """Each file that a path, folder or glob stands for, and its path within the folder, in parts.

    Raises SettingsError if there is nothing, and OSError for a folder in it that cannot be listed, if all must be.
    """
    storage.check_reachable(url)
    filesystem = storage.filesystem(url)
    named = {url: filesystem.info(url)} if filesystem.exists(url) else {}
    top = url if named and named[url]["type"] == "directory" else _folder(url)
    if not named and any(mark in url for mark in "*?["):
        named = filesystem.glob(url, detail=True)
        top = _folder(re.split(r"[*?\[]", url)[0])
    if not named:
        like = "" if is_remote(url) else nearest_beside(url)
        raise SettingsError(f"the input {url} does not exist{like}")
    if complete and not is_remote(url):
        check_listable(top)
    for path, info in named.items():
        if info["type"] != "directory":
            yield _file(restored(url, path), info, top), []
            continue
        folder = restored(url, path)
        for name, size, tag in storage.files_below(folder, complete):
            yield (name, size, tag, path_at(name, top), ""), name[len(folder) :].strip("/").split("/")


def _readable(name: str) -> str:
    """A name with the bytes that are no UTF-8, which Python keeps as lone surrogates, spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _file(name: str, info: dict[str, Any], top: str) -> File:
    tag = info.get("ETag") or info.get("mtime") or ""
    return name, int(info["size"]), str(tag).strip('"'), path_at(name, top), ""


def _folder(name: str) -> str:
    """The folder that a file is in."""
    return name.rpartition("/")[0]


def path_at(name: str, top: str | None = None) -> int:
    """The place in a file's name where its path begins: at the name of a folder above it, by default its own."""
    if top is None:
        top = name[: max(0, name.rfind("/"))]
    at = max(0, top.rfind("/"))
    while name.startswith("/", at):
        at += 1
    return at


def base_name(name: str) -> str:
    """The last part of a file's name, by which shards are ranked before the whole name."""
    return name.rpartition("/")[2]
