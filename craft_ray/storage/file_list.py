"""Lists of input files, which replace the listing of a bucket of millions."""

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

_CHUNK = 1 << 20
"""Bytes of lines in memory."""

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
        found = files_table(_files(_lines(stream, address, complete), folder, address))
    if not found.num_rows:
        raise SettingsError(f"the list {address} names no files")
    return found


def _lines(stream: BinaryIO, address: str, complete: bool) -> Iterator[str]:
    ended = False
    while True:
        with as_settings_error(f"the list {address}"):
            lines = stream.readlines(_CHUNK)
        ended = lines[-1].endswith(b"\n") if lines else ended
        if complete and not ended:
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
                f"line {number} of the list {address} is not an address, a size in bytes and a tag, separated by tabs"
            )
        name = name.strip()
        url = name if is_remote(name) or name.startswith("/") else join(folder, name)
        tag = rest[1].strip().strip('"') if len(rest) > 1 else ""
        yield url, int(size or 0), tag, path_start(url), ""
