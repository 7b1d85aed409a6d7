"""Files named by a list, in place of listing a bucket of millions."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import BinaryIO

import pyarrow as pa

from craft_ray.core.errors import SettingsError
from craft_ray.storage.addresses import absolute, is_remote, join
from craft_ray.storage.failures import as_settings_error
from craft_ray.storage.shards import File, files_table, path_start
from craft_ray.storage.storage import Storage

STANDARD_INPUT = "-"

_BYTES = 1 << 20
"""Bytes of a list that are in memory as lines."""

_DIGITS = 18
"""Digits that a size may have, so that it is a number of 64 bits."""


def read_file_list(storage: Storage, address: str, complete: bool = False) -> pa.Table:
    """The files that a list names, rows of FILES.

    Each has a line: its address and, if known, its size in bytes and a tag, behind tabs.

    address:  of the list, a path or s3://; `-` for standard input
    complete: whether the list must be seen to be whole: a file whose last line has come to its end

    The tag changes with the content, as an ETag does; a file without size and tag counts as unchanged once it is read.
    Relative addresses are relative to the list. Empty lines, and lines that begin with #, are left out.

    Raises SettingsError if the list cannot be read, names nothing, has a line of another form, or may be cut short
    where it must be whole.
    """
    if address == STANDARD_INPUT and complete:
        raise SettingsError("a list from standard input may be cut short, so nothing can be pruned by it: give a file")
    with ExitStack() as opened:
        if address == STANDARD_INPUT:
            stream, folder = sys.stdin.buffer, absolute(".")
        else:
            with as_settings_error(f"the list {address}"):
                stream = opened.enter_context(storage.open(absolute(address)))
            folder = absolute(address).rpartition("/")[0]
        found = files_table(_files(_lines(stream, address, complete), folder, address))
    if not found.num_rows:
        raise SettingsError(f"the list {address} names no files")
    return found


def _lines(stream: BinaryIO, address: str, complete: bool) -> Iterator[str]:
    """The lines of a list, of which a part at a time is in memory."""
    ended = False
    while True:
        with as_settings_error(f"the list {address}"):
            lines = stream.readlines(_BYTES)
        if complete and not (ended := lines[-1].endswith(b"\n") if lines else ended):
            raise SettingsError(
                f"the list {address} does not end with a line break: it may be cut, and nothing is pruned"
            )
        if not lines:
            return
        try:
            yield from b"".join(lines).decode().splitlines()
        except UnicodeDecodeError as error:
            raise SettingsError(f"the list {address} is not UTF-8") from error


def _files(lines: Iterable[str], folder: str, address: str) -> Iterator[File]:
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.split("\t")
        size = rest[0].strip() if rest else ""
        if len(rest) > 2 or (size and not (size.isdecimal() and len(size) <= _DIGITS)):
            raise SettingsError(
                f"line {number} of the list {address} is not an address, a size in bytes and a tag, behind tabs"
            )
        name = name.strip()
        whole = name if is_remote(name) or name.startswith("/") else join(folder, name)
        yield whole, int(size or 0), rest[1].strip().strip('"') if len(rest) > 1 else "", path_start(whole), ""
