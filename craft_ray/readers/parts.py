"""Parts of a large archive, so that several tasks share it: each decompresses all of it and parses its own files."""

import hashlib
from dataclasses import dataclass

from craft_ray.core.hashing import hash64

ITEM_KEY = "#item-"
"""Separates a file's name from an item's number in the keys of items."""

MAX_FILE_NAME = 500
"""Characters of a file's name within an archive that ids and keys may contain."""


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One of `count` parts of an archive, the files whose names hash to `number`.

    The name alone decides, so ids that are derived from file names come from the same part in every run.
    """

    number: int = 0
    count: int = 1

    def has_file(self, name: str) -> bool:
        return self._has(_printable(name))

    def owns_id(self, doc_id: str, shard: str) -> bool:
        """Whether an id derived from a file name, as of a record without an id, can come from this part.

        Ids that name no file of the archive, such as the marker of a broken archive, belong to part 0.
        """
        prefix = f"{shard}!"
        return self._has(doc_id.removeprefix(prefix)) if doc_id.startswith(prefix) else self.number == 0

    def _has(self, name: str) -> bool:
        # Only what a file's name has in common with all ids derived from it: they go on after `#`, and may be cut.
        stem = name.partition("#")[0][:MAX_FILE_NAME]
        return self.count == 1 or hash64(stem.encode()) % self.count == self.number


def file_key(shard: str, name: str) -> str:
    """Name of a file in an archive, safe to store in a table: valid UTF-8 and of bounded length."""
    name = _printable(name)
    if len(name) > MAX_FILE_NAME:
        name = f"{name[:MAX_FILE_NAME]}...{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
    return f"{shard}!{name}"


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
