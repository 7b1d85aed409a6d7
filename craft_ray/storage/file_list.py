"""Lists of input files, which replace the listing of a bucket of millions."""

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

import pyarrow as pa

from craft_ray.core.errors import SettingsError
from craft_ray.storage.addresses import absolute, is_remote, join
from craft_ray.storage.failures import as_settings_error
from craft_ray.storage.shards import File, files_table, path_start
from craft_ray.storage.storage import Storage

STANDARD_INPUT = "-"

_DIGITS = 18
"""Most digits of a size, so that it fits 64 bits."""


def read_file_list(storage: Storage, address: str, complete: bool = False) -> pa.Table:
    """Read a list of files into rows of FILES.

    Each line has an address and optionally a size in bytes and a tag, separated by tabs. The tag changes with the
    content, like an ETag; a file without size and tag counts as unchanged once it has been read. Relative addresses are
    relative to the list. Empty lines and lines that begin with # are skipped.

    address:  path or s3:// address of the list; `-` for standard input
    complete: refuse a list that may be cut short: standard input, or a file without a final line break

    Raises SettingsError if the list cannot be read, is empty, malformed or possibly cut short.
    """
    if address == STANDARD_INPUT and complete:
        raise SettingsError("a list from standard input may be cut short, so nothing can be pruned by it: give a file")
    with ExitStack() as cleanup:
        if address == STANDARD_INPUT:
            stream, folder = sys.stdin.buffer, absolute(".")
        else:
            with as_settings_error(f"the list {address}"):
                stream = cleanup.enter_context(storage.open(absolute(address)))
            folder = absolute(address).rpartition("/")[0]
        lines = io.TextIOWrapper(stream, encoding="utf-8")
        cleanup.callback(lines.detach)  # keeps standard input open
        found = files_table(_files(lines, folder, address, complete))
    if not found.num_rows:
        raise SettingsError(f"the list {address} names no files")
    return found


def _files(lines: Iterable[str], folder: str, address: str, complete: bool) -> Iterator[File]:
    line = ""
    with as_settings_error(f"the list {address}"):
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                yield _file(line, number, folder, address)
    if complete and not line.endswith("\n"):
        raise SettingsError(f"the list {address} does not end with a line break: it may be cut, and nothing is pruned")


def _file(line: str, number: int, folder: str, address: str) -> File:
    name, *rest = line.split("\t")
    size = rest[0].strip() if rest else ""
    if len(rest) > 2 or (size and not (size.isdecimal() and len(size) <= _DIGITS)):
        raise SettingsError(
            f"line {number} of the list {address} is not an address, a size in bytes and a tag, separated by tabs"
        )
    name = name.strip()
    url = name if is_remote(name) or name.startswith("/") else join(folder, name)
    tag = rest[1].strip().strip('"') if len(rest) > 1 else ""
    return url, int(size or 0), tag, path_start(url), ""
