"""Files named by a list, in place of listing a bucket of millions."""

import sys
from collections.abc import Iterator

from craft_ray.core.errors import SettingsError
from craft_ray.storage.addresses import absolute, is_remote, join
from craft_ray.storage.failures import as_settings_error
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage

STANDARD_INPUT = "-"


def read_list(storage: Storage, address: str, complete: bool = False) -> list[Shard]:
    """The files that a list names: a line each, its address and, if known, its size in bytes and a tag, behind tabs.

    address:  of the list, a path or s3://; `-` for standard input
    complete: whether the list must be seen to be whole: a file whose last line has come to its end

    The tag changes with the content, as an ETag does; a file without size and tag counts as unchanged once it is read.
    Relative addresses are relative to the list. Empty lines, and lines that begin with #, are left out.

    Raises SettingsError if the list cannot be read, names nothing, has a line of another form, or may be cut short
    where it must be whole.
    """
    if address == STANDARD_INPUT and complete:
        raise SettingsError("a list from standard input may be cut short, so nothing can be pruned by it: give a file")
    if address == STANDARD_INPUT:
        content, folder = sys.stdin.buffer.read(), absolute(".")
    else:
        with as_settings_error(f"the list {address}"):
            content = storage.read_bytes(absolute(address))
        folder = absolute(address).rpartition("/")[0]
    if complete and not content.endswith(b"\n"):
        raise SettingsError(f"the list {address} does not end with a line break: it may be cut, and nothing is pruned")
    try:
        found = list(_shards(content.decode(), folder, address))
    except UnicodeDecodeError as error:
        raise SettingsError(f"the list {address} is not UTF-8") from error
    if not found:
        raise SettingsError(f"the list {address} names no files")
    return found


def _shards(content: str, folder: str, address: str) -> Iterator[Shard]:
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.split("\t")
        size = rest[0].strip() if rest else ""
        if len(rest) > 2 or (size and not size.isdecimal()):
            raise SettingsError(
                f"line {number} of the list {address} is not an address, a size in bytes and a tag, behind tabs"
            )
        name = name.strip()
        whole = name if is_remote(name) or name.startswith("/") else join(folder, name)
        yield Shard(whole, int(size or 0), rest[1].strip().strip('"') if len(rest) > 1 else "")
