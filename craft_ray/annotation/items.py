"""Checks of the items that a reader yields: what no table can hold is rejected, and so is an id that comes twice."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.schema import UNREADABLE, Deletion, Document, Item, Rejection
from craft_ray.tables.identity import IdHasher

MAX_ID = 1000
"""Code points of an id; each mention carries it."""

MAX_VERSION = 10_000
"""A higher version is no revision of a document, but would supersede all later ones."""

MAX_DEPTH = 100
"""Levels of lists and mappings in metadata, which encoders walk recursively."""

MAX_DETAIL = 1000
"""Code points of a rejection's detail."""


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item that the tables can hold.

    metadata: a document's metadata as JSON, None if there is none
    """

    item: Item
    metadata: str | None = None

    @classmethod
    def rejected(cls, doc_id: str, reason: str, detail: str) -> "CheckedItem":
        return cls(Rejection(doc_id, reason, detail[:MAX_DETAIL].encode("utf-8", "replace").decode()))

    @property
    def size(self) -> int:
        """About how many bytes of memory the item takes."""
        item = self.item
        if not isinstance(item, Document):
            return 0
        return len(item.text) + len(item.title or "") + len(item.journal or "") + len(self.metadata or "")

    @property
    def version(self) -> int:
        return version_of(self.item)


def version_of(item: Item) -> int:
    """The version of a document or deletion; 0 for a rejection, which has none."""
    return 0 if isinstance(item, Rejection) else item.version


class SeenIds:
    """The ids of a shard's items so far, with their versions: 8 bytes each."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.int64]] = []
        """Sorted arrays, each much larger than the next."""

    def add(self, ids: NDArray[np.int64], versions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Add id hashes with versions and return a mask of those that were there already; shape (items,) each."""
        hashes = ids ^ versions * np.int64(0x5851F42D4C957F2D)  # wraps around
        repeated = np.ones(len(hashes), np.bool_)
        repeated[np.unique(hashes, return_index=True)[1]] = False
        for part in self._parts:
            index = np.minimum(np.searchsorted(part, hashes), len(part) - 1)
            repeated |= part[index] == hashes
        if not repeated.all():
            self._parts.append(np.sort(hashes[~repeated]))
            while len(self._parts) > 1 and len(self._parts[-2]) < 8 * len(self._parts[-1]):
                last = self._parts.pop()
                self._parts[-1] = np.sort(np.concatenate([self._parts[-1], last]), kind="stable")
        return repeated


def reject_repeated(items: Sequence[tuple[str, Item, CheckedItem]], seen: SeenIds, ids: IdHasher) -> list[CheckedItem]:
    """Return checked items, with a rejection for each whose id the shard has used already. A deletion may repeat an id.

    items: each with the key that names it if its id cannot be used, the item, and the result of `check_item`
    seen:  the shard's ids so far; those of the items are added
    """
    result = [checked for _, _, checked in items]
    with_id = [index for index, (_, item, checked) in enumerate(items) if checked.item.doc_id == item.doc_id]
    hashes = ids.hashes(items[index][1].doc_id for index in with_id)
    versions = np.array([version_of(items[index][1]) for index in with_id], np.int64)
    for index in np.array(with_id, np.int64)[seen.add(hashes, versions)].tolist():
        key, item, _ = items[index]
        if not isinstance(item, Deletion):
            result[index] = CheckedItem.rejected(key, "duplicate_id", f"the shard has another {item.doc_id}")
    return result


def check_item(key: str, item: Item, shard: str) -> CheckedItem:
    """Return an item, or its rejection if the tables cannot hold it: under `key` if its id cannot be used."""
    try:
        item.doc_id.encode()
    except UnicodeEncodeError:
        return CheckedItem.rejected(key, "bad_encoding", "a lone surrogate in the id")
    if not 0 < len(item.doc_id) <= MAX_ID:
        return CheckedItem.rejected(key, "bad_record", f"an id of {len(item.doc_id)} characters")
    marks_member = isinstance(item, Rejection) and item.doc_id.startswith(f"{shard}!")
    if item.doc_id.endswith(UNREADABLE) and not marks_member:
        return CheckedItem.rejected(key, "bad_record", f"the id {item.doc_id} is reserved for what could not be read")
    if version_of(item) > MAX_VERSION:
        return CheckedItem.rejected(key, "bad_record", f"version {version_of(item)} of {item.doc_id}")
    if isinstance(item, Document):
        return _check_document(item)
    if isinstance(item, Rejection):
        return CheckedItem.rejected(item.doc_id, item.reason, item.detail)
    return CheckedItem(item)


def _check_document(document: Document) -> CheckedItem:
    if _depth(document.metadata) > MAX_DEPTH:
        return CheckedItem.rejected(document.doc_id, "bad_record", f"metadata nested deeper than {MAX_DEPTH} levels")
    metadata = as_json(document.metadata) if document.metadata else None
    try:
        for text in (document.text, document.title, document.journal, *(section.name for section in document.sections)):
            (text or "").encode()
        if metadata and "\\ud" in metadata:  # the escape of a surrogate, alone or in a pair
            json.dumps(document.metadata, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return CheckedItem.rejected(document.doc_id, "bad_encoding", "a lone surrogate in the text, title or metadata")
    return CheckedItem(document, metadata)


def _depth(value: Any) -> int:
    """How deep lists and mappings are nested, counted no further than one level beyond MAX_DEPTH."""
    depth, level = 0, [value]
    while depth <= MAX_DEPTH:
        # Most are texts, of which no abstract type needs to be asked.
        level = [one for one in level if not isinstance(one, str) and isinstance(one, Mapping | list | tuple)]
        if not level:
            break
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, Mapping) else one)]
    return depth


def as_json(metadata: Mapping[str, Any]) -> str:
    """Metadata as JSON; NaN and infinity, which JSON lacks, become null."""
    try:
        return json.dumps(metadata, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(metadata, default=str), parse_constant=lambda name: None))


def is_title_alone(item: Item) -> bool:
    """True for a document with a title and no other text, like many citations."""
    names = {section.name.lower() for section in item.sections} if isinstance(item, Document) else set()
    return bool(names) and names <= {"title", "trans-title"}
