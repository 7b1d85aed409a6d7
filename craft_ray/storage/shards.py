"""The files that the inputs stand for, in the order in which they are ranked."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Listing:
    """The shards of the inputs, and the files in folders that are no input by their name."""

    shards: list[Shard]
    passed_over: list[str]


def list_shards(
    storage: Storage,
    inputs: Sequence[str],
    is_input: Callable[[str], bool],
    output: str | None = None,
    listed: Sequence[Shard] = (),
    complete: bool = False,
) -> Listing:
    """Find the shards of files, folders (with all below them) and globs, each once, sorted by rank.

    is_input: tells by its base name whether a file found in a folder is input; what is named outright always is. What
    lies in the output, or below a name that starts with a dot or an underscore, never is.
    listed:   files that a list names beside the inputs; they are not looked up
    complete: whether a folder that cannot be listed is an error; else it is left out

    Raises SettingsError if an input does not exist, holds no shard, or cannot be reached.
    """
    files = {shard.name: replace(shard, path=_path(shard.name, _folder(shard.name))) for shard in listed}
    passed_over: set[str] = set()
    for given in inputs:
        with as_settings_error(f"the input {given}"):
            found = list(_files(storage, absolute(given), complete))
        if not found:
            raise SettingsError(f"the input {given} holds no files")
        for shard, below in found:
            if output is not None and shard.name.startswith(f"{output}/"):
                continue
            hidden = any(part.startswith((".", "_")) for part in below)
            if (readable := _readable(shard.name)) != shard.name:
                passed_over.add(readable)  # no table can hold the name
            elif not below or (is_input(below[-1]) and not hidden):
                before = files.get(shard.name)
                if before is None or len(shard.path) > len(before.path):
                    files[shard.name] = shard
            else:
                passed_over.add(shard.name)
    if not files and not passed_over:
        raise SettingsError("no input is named: give files, folders or globs, or a list of files")
    if not files:
        raise SettingsError(f"no input file is of a known kind: {', '.join(sorted(passed_over)[:3])}")
    return Listing(sorted(files.values(), key=lambda shard: rank(shard.name)), sorted(passed_over - set(files)))


def shard_of_format(storage: Storage, given: str, format: str) -> Shard:
    """The shard of one file that is read as a format; its tag tells the format, so that it is read anew as another.

    Raises SettingsError if there is no such file, or it cannot be reached.
    """
    with as_settings_error(f"the file {given}"):
        found = list(_files(storage, absolute(given)))
    if len(found) != 1:
        raise SettingsError(f"{given} is not one file but {len(found)}")
    ((shard, _),) = found
    return replace(shard, tag=f"{shard.tag} {format}", format=format)


def _files(storage: Storage, url: str, complete: bool = False) -> Iterator[tuple[Shard, list[str]]]:
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
            yield _shard(restored(url, path), info, top), []
            continue
        folder = restored(url, path)
        for file, detail in filesystem.find(path, detail=True).items():
            name = restored(url, file)
            yield _shard(name, detail, top), name[len(folder) :].strip("/").split("/")


def _readable(name: str) -> str:
    """A name with the bytes that are no UTF-8, which Python keeps as lone surrogates, spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def _shard(name: str, info: dict[str, Any], top: str) -> Shard:
    tag = info.get("ETag") or info.get("mtime") or ""
    return Shard(name, int(info["size"]), str(tag).strip('"'), path=_path(name, top))


def _folder(name: str) -> str:
    """The folder that a file is in."""
    return name.rpartition("/")[0]


def _path(name: str, top: str) -> str:
    """The path of a file from a folder above it on, that folder's own name included."""
    return name[len(_folder(top)) :].lstrip("/")


def rank(name: str) -> tuple[str, str]:
    """The order of shards: by base name, then by the whole name."""
    return name.rpartition("/")[2], name
