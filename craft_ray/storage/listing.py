"""Find the input files of paths, folders and globs."""

import re
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from fsspec.utils import glob_translate

from craft_ray.core.errors import SettingsError
from craft_ray.storage.addresses import Entry, absolute, is_remote
from craft_ray.storage.failures import as_settings_error
from craft_ray.storage.local import similar_name
from craft_ray.storage.shards import FILES, File, Listing, files_table, first_occurrences, no_names, path_start, ranked
from craft_ray.storage.storage import Storage

_WILDCARD = re.compile(r"[*?\[]")


def list_shards(
    storage: Storage,
    inputs: Sequence[str],
    is_input: Callable[[str], bool],
    output: str | None = None,
    listed: pa.Table | None = None,
) -> Listing:
    """List the input files of files, folders (with all below them) and globs, each once, sorted by rank.

    is_input: decides by base name whether a file found in a folder is input. A file named by itself always is; files in
              the output, or below a name that starts with a dot or an underscore, never are.
    listed:   further rows of FILES, from a list of files; they are not looked up, and the last row of a name counts

    Raises SettingsError if an input does not exist, has no input files, or cannot be reached, and if a folder cannot be
    listed.
    """
    ignored = _IgnoredFiles()
    found = [files_table(_input_files(storage, given, is_input, output, ignored)) for given in inputs]
    files = pa.concat_tables([*found, FILES.empty_table() if listed is None else listed]).combine_chunks()
    del found, listed  # two copies of this are the most memory that a driver takes
    others = ignored.names()
    if not files.num_rows and not len(others):
        raise SettingsError("no input is named: give files, folders or globs, or a list of files")
    if not files.num_rows:
        raise SettingsError(f"no input file is of a known kind: {', '.join(others[:3].to_pylist())}")
    listing = Listing(ranked(files))
    del files
    pa.default_memory_pool().release_unused()
    if not len(others):
        return listing
    return Listing(listing.files, others.filter(pa.array(listing.index.find(others) < 0)))


class _IgnoredFiles:
    """Collects the names of files that are no input, in Arrow: PMC has as many of them as articles."""

    _CHUNK = 1 << 10

    def __init__(self) -> None:
        self._chunks = [no_names()]
        self._last: list[str] = []

    def add(self, name: str) -> None:
        self._last.append(name)
        if len(self._last) == self._CHUNK:
            self._chunks.append(pa.array(self._last, pa.large_string()))
            self._last.clear()

    def names(self) -> pa.LargeStringArray:
        """All names, unique and sorted."""
        names = pa.concat_arrays([*self._chunks, pa.array(self._last, pa.large_string())])
        order = pc.sort_indices(names).to_numpy()
        return names.take(pa.array(order[first_occurrences(names, order)]))


def _input_files(
    storage: Storage,
    given: str,
    is_input: Callable[[str], bool],
    output: str | None,
    ignored: _IgnoredFiles,
) -> Iterator[File]:
    """Yield the input files of a path, folder or glob, and collect the other files that it matches.

    Raises SettingsError if it matches no file, or cannot be reached.
    """
    is_empty = True
    with as_settings_error(f"the input {given}"):
        for file, parts, is_file in _files(storage, absolute(given), output):
            is_empty = False
            name = file[0]
            hidden = any(part.startswith((".", "_")) for part in parts)
            # Python keeps bytes that are not UTF-8 as lone surrogates, which no table can hold.
            if (readable := name.encode("utf-8", "backslashreplace").decode()) != name:
                ignored.add(readable)
            elif is_file and (not parts or (is_input(parts[-1]) and not hidden)):
                yield file
            else:
                ignored.add(name)
    if is_empty:
        raise SettingsError(f"the input {given} holds no files")


def file_of_format(storage: Storage, given: str, format: str) -> pa.Table:
    """Return a file that is read as one format, as a row of FILES. Its tag names the format, so that a change of the
    format counts as a change of the file.

    Raises SettingsError if there is no such file, or it cannot be reached.
    """
    with as_settings_error(f"the file {given}"):
        found = list(_files(storage, absolute(given)))
    if len(found) != 1:
        raise SettingsError(f"{given} is not one file but {len(found)}")
    (((name, size, tag, _, _), _, _),) = found
    return files_table([(name, size, f"{tag} {format}", path_start(name), format)])


def _files(storage: Storage, url: str, skip: str | None = None) -> Iterator[tuple[File, list[str], bool]]:
    """Yield each file of a path, folder or glob, the parts of its path within the folder ([] for the file itself), and
    whether it is a regular file.

    skip: a folder that is left out

    Raises SettingsError if nothing matches, OSError for a folder that cannot be listed.
    """
    storage.check_reachable(url)
    top = url.rpartition("/")[0]
    found: Iterator[tuple[Entry, list[str]]] = iter(())
    if (entry := storage.entry(url)) is not None:
        if entry.is_folder:
            top = url
            found = _below(storage, url, skip)
        elif not entry.is_file:
            raise SettingsError(f"the input {url} is no regular file")
        else:
            found = iter([(entry, [])])
    elif _WILDCARD.search(url):
        top = _WILDCARD.split(url)[0].rpartition("/")[0]
        found = _matching(storage, url, top, skip)
    is_empty = True
    for entry, parts in found:
        is_empty = False
        yield (entry.name, entry.size, entry.tag, path_start(entry.name, top), ""), parts, entry.is_file
    if is_empty and top != url:
        storage.names(url)  # raises if the bucket is missing
        if _WILDCARD.search(url):
            raise SettingsError(f"no file matches the input {url}")
        hint = "" if is_remote(url) else similar_name(url)
        raise SettingsError(f"the input {url} does not exist{hint}")


def _below(storage: Storage, folder: str, skip: str | None) -> Iterator[tuple[Entry, list[str]]]:
    for entry in storage.files_below(folder, skip):
        yield entry, entry.name[len(folder) :].strip("/").split("/")


def _matching(storage: Storage, glob: str, top: str, skip: str | None) -> Iterator[tuple[Entry, list[str]]]:
    """Yield each file that a glob matches, or below a folder that it matches.

    top: the folder above the first wildcard
    """
    segments = glob[len(top) + 1 :].split("/")
    if "**" not in segments:
        yield from _matching_segments(storage, top or "/", segments, skip)
        return
    matches = re.compile(glob_translate(glob)).match
    for entry in storage.files_below(top or "/", skip):
        name = entry.name
        ends = [len(name), *(end for end in range(len(name) - 1, len(top), -1) if name[end] == "/")]
        if (end := next((end for end in ends if matches(name[:end])), None)) is not None:
            yield entry, name[end + 1 :].split("/") if end < len(name) else []


def _matching_segments(
    storage: Storage, folder: str, segments: Sequence[str], skip: str | None
) -> Iterator[tuple[Entry, list[str]]]:
    """Like `_matching`, segment by segment, so that folders that cannot match are not listed."""
    segment, *deeper = segments
    matches = re.compile(glob_translate(segment)).match
    for entry in storage.entries(folder, _WILDCARD.split(segment)[0]):
        if not matches(entry.name.rpartition("/")[2]):
            continue
        if deeper and entry.is_folder:
            yield from _matching_segments(storage, entry.name, deeper, skip)
        elif entry.is_folder:
            yield from _below(storage, entry.name, skip)
        elif not deeper:
            yield entry, []
