"""Parts of an archive, so that several tasks read it: each unpacks all of it, and parses the files of its own part."""

import hashlib
from dataclasses import dataclass

from craft_ray.core.hashing import hash64

ITEM_KEY = "#item-"
"""Behind a file's name, the beginning of the places of items that have no id of their own to go by."""

LONGEST_NAME = 500
"""Characters of a file's name in an archive that places in it are named by; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One of `count` parts of an archive's files.

    A file belongs to a part by its name alone, so whatever is named by its place is given by one part, in any run.
    """

    number: int = 0
    count: int = 1

    def has_file(self, name: str) -> bool:
        """True if a file of the archive is in this part, by its name in there."""
        return self._holds(_spelled_out(name))

    def owns_id(self, doc_id: str, shard: str) -> bool:
        """True if this part is the one that could give an id that is a place in the archive.

        What names no file, as the mark of a broken archive, is the first part's.
        """
        inside = f"{shard}!"
        return self._holds(doc_id.removeprefix(inside)) if doc_id.startswith(inside) else self.number == 0

    @staticmethod
    def place(shard: str, name: str) -> str:
        """The name of a file by which places in it are named: an id that a table can hold, whatever the name."""
        return f"{shard}!{_readable(name)}"

    def _holds(self, name: str) -> bool:
        # By what a name and all places in its file begin with: places go on behind a `#`, and have long names cut.
        begins = name.partition("#")[0][:LONGEST_NAME]
        return self.count == 1 or hash64(begins.encode()) % self.count == self.number


WHOLE = ArchivePart()


def _readable(name: str) -> str:
    """A name as it is, if tables can hold it; bytes that are no UTF-8 spelled out, and a long one cut."""
    name = _spelled_out(name)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}...{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"


def _spelled_out(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
