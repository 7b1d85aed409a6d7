"""The files that the inputs stand for, found as storage lists them."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.utils import glob_translate

from craft_ray.core.errors import SettingsError
from craft_ray.storage.addresses import Entry, absolute, is_remote
from craft_ray.storage.failures import as_settings_error
from craft_ray.storage.local import similar_name
from craft_ray.storage.shards import FILES, File, Listing, Names, files_table, first_occurrences, path_start, ranked
from craft_ray.storage.storage import Storage

_WILDCARD = re.compile(r"[*?\[]")


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
    passed_over = _PassedOver()
    found = [files_table(_inputs(storage, given, is_input, output, complete, passed_over)) for given in inputs]
    files = pa.concat_tables([*found, FILES.empty_table() if listed is None else listed]).combine_chunks()
    del found, listed  # what is in memory twice is what a run takes at the most
    others = passed_over.names()
    if not files.num_rows and not len(others):
        raise SettingsError("no input is named: give files, folders or globs, or a list of files")
    if not files.num_rows:
        raise SettingsError(f"no input file is of a known kind: {', '.join(Names(others)[:3])}")
    listing = Listing(ranked(files))
    del files
    pa.default_memory_pool().release_unused()
    if not len(others):
        return listing
    return Listing(listing.files, Names(others.filter(pa.array(listing.index.find(others) < 0))))


class _PassedOver:
    """Gathers names of files in a column: beside the articles of PMC stand as many files of other kinds."""

    _AT_ONCE = 1 << 10

    def __init__(self) -> None:
        self._columns = [pa.array([], pa.large_string())]
        self._some: list[str] = []

    def add(self, name: str) -> None:
        """Enter a name, once or more often."""
        self._some.append(name)
        if len(self._some) == self._AT_ONCE:
            self._columns.append(pa.array(self._some, pa.large_string()))
            self._some.clear()

    def names(self) -> pa.LargeStringArray:
        """All names, each once and sorted."""
        names = pa.concat_arrays([*self._columns, pa.array(self._some, pa.large_string())])
        order = pc.sort_indices(names).to_numpy()
        return names.take(pa.array(order[first_occurrences(names, order)]))


def _inputs(
    storage: Storage,
    given: str,
    is_input: Callable[[str], bool],
    output: str | None,
    complete: bool,
    passed_over: _PassedOver,
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


def file_of_format(storage: Storage, given: str, format: str) -> pa.Table:
    """One file that is read as a format, a row of FILES; its tag tells the format, so that it is read anew as another.

    Raises SettingsError if there is no such file, or it cannot be reached.
    """
    with as_settings_error(f"the file {given}"):
        found = list(_files(storage, absolute(given)))
    if len(found) != 1:
        raise SettingsError(f"{given} is not one file but {len(found)}")
    (((name, size, tag, _, _), _),) = found
    return files_table([(name, size, f"{tag} {format}", path_start(name), format)])


def _files(storage: Storage, url: str, complete: bool = False) -> Iterator[tuple[File, list[str]]]:
    """Each file that a path, folder or glob stands for, and its path within the folder, in parts.

    Raises SettingsError if there is nothing, and OSError for a folder in it that cannot be listed, if all must be.
    """
    storage.check_reachable(url)
    filesystem = storage.filesystem(url)
    top = _folder(url)
    if filesystem.exists(url):
        info = filesystem.info(url)
        if info["type"] == "directory":
            top = url
            found = _below(storage, url, complete)
        else:
            found = iter([(Entry(url, int(info["size"]), _tag(info)), [])])
    elif _WILDCARD.search(url):
        top = _folder(_WILDCARD.split(url)[0])
        found = _matching(storage, url, top, complete)
    else:
        found = iter(())
    nothing = True
    for (name, size, tag, _), below in found:
        nothing = False
        yield (name, size, tag, path_start(name, top), ""), below
    if nothing and top != url:
        like = "" if is_remote(url) else similar_name(url)
        raise SettingsError(f"the input {url} does not exist{like}")


def _below(storage: Storage, folder: str, complete: bool) -> Iterator[tuple[Entry, list[str]]]:
    """Each file below a folder, and its path within it, in parts."""
    for entry in storage.files_below(folder, complete):
        yield entry, entry.name[len(folder) :].strip("/").split("/")


def _matching(storage: Storage, glob: str, top: str, complete: bool) -> Iterator[tuple[Entry, list[str]]]:
    """Each file that a glob matches, or below a folder that it matches, and its path within the folder, in parts.

    top: the folder above the first wildcard
    """
    segments = glob[len(top) + 1 :].split("/")
    if "**" not in segments:
        yield from _matching_below(storage, top or "/", segments, complete)
        return
    matches = re.compile(glob_translate(glob)).match
    for entry in storage.files_below(top or "/", complete):
        name = entry.name
        ends = [len(name), *(at for at in range(len(name) - 1, len(top), -1) if name[at] == "/")]
        if (end := next((end for end in ends if matches(name[:end])), None)) is not None:
            yield entry, name[end + 1 :].split("/") if end < len(name) else []


def _matching_below(
    storage: Storage, folder: str, segments: Sequence[str], complete: bool
) -> Iterator[tuple[Entry, list[str]]]:
    """The same for what is in a folder, by the segments of a glob: no folder is listed whose path does not match."""
    segment, *deeper = segments
    matches = re.compile(glob_translate(segment)).match
    for entry in storage.entries(folder, _WILDCARD.split(segment)[0], complete):
        if not matches(entry.name.rpartition("/")[2]):
            continue
        if deeper and entry.is_folder:
            yield from _matching_below(storage, entry.name, deeper, complete)
        elif entry.is_folder:
            yield from _below(storage, entry.name, complete)
        elif not deeper:
            yield entry, []


def _readable(name: str) -> str:
    """A name with the bytes that are no UTF-8, which Python keeps as lone surrogates, spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _tag(info: dict[str, Any]) -> str:
    """The tag of a file, by what fsspec tells of it."""
    return str(info.get("ETag") or info.get("mtime") or "").strip('"')


def _folder(name: str) -> str:
    """The folder that a file is in."""
    return name.rpartition("/")[0]
