"""The row of a document between reading and writing, and what is rejected since no table could hold it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from craft_ray.annotation.shard_account import ShardAccount
from craft_ray.core.schema import DOCUMENTS, UNREADABLE, Deletion, Document, Item, Rejection
from craft_ray.tables import identity

SHARD_END = "shard_end"
"""Status of the row that closes a shard on its way through the pipeline; `detail` is its account as JSON."""

FAILURE = "failure"
"""Status of a row that ends the run; `detail` says why. Ray Data would drop an error with its block, so it is data."""

_INTS = pa.list_(pa.int32())

LONGEST_ID = 1000
"""Code points of an id; each mention carries it."""

DEEPEST = 100
"""Levels of lists and mappings in metadata; what encodes them goes down a level at a time."""

TOKENIZED = pa.schema(
    [
        *(DOCUMENTS.field(name) for name in DOCUMENTS.names if name not in ("n_entities", "run_id", "block_id")),
        ("id_hash", pa.int64()),
        ("shard_number", pa.int32()),
        ("part", pa.int16()),
        ("position", pa.int64()),
        ("sentence_start", _INTS),
        ("sentence_end", _INTS),
        ("token_ids", _INTS),
        ("window_length", _INTS),
        ("word_piece", _INTS),
        ("word_sentence", _INTS),
        ("word_start", _INTS),
        ("word_end", _INTS),
    ]
)
"""A row for each document between reading and writing. Word offsets count in the document; the others as in Windows.

`part`, `position`: as in `ShardAccount`, when the row was made."""

ANSWERS = {"label_ids": pa.list_(pa.int8()), "scores": pa.list_(pa.float32()), "computed_in": pa.string()}
"""Columns that a replica adds: an item per word, and the number format of a document's answers."""


@dataclass(frozen=True, slots=True)
class Row:
    """A document, deletion or rejection of a shard, with the status that its row will have."""

    item: Item
    status: str
    content_hash: str
    key: int
    id_hash: int


def failure_of(message: str) -> pa.Table:
    """A table of one row that ends the run."""
    row: dict[str, Any] = {field.name: [] if pa.types.is_list(field.type) else None for field in TOKENIZED}
    return pa.Table.from_pylist([row | {"status": FAILURE, "detail": message}], schema=TOKENIZED)


def rejection_of(row: pa.Table, reason: str, detail: str) -> pa.Table:
    """A table of one prepared row, an annotated document's, as its rejection."""
    fields = row.select(["doc_id", "shard", "shard_number"]).to_pylist()[0]
    item = Rejection(fields["doc_id"], reason, detail[:1000])
    content = identity.content_hash(item)
    key = identity.key(item.doc_id, content, "")
    account = ShardAccount(fields["shard"], fields["shard_number"], fields["shard"])
    columns = columns_of([Row(item, "rejected", content, key, identity.id_hash(item.doc_id))], account)
    empty: dict[str, list[Any]] = {name: [[]] for name in TOKENIZED.names if name not in columns} | {"n_tokens": [0]}
    return pa.table(columns | empty, schema=TOKENIZED)


def columns_of(rows: list[Row], account: ShardAccount) -> dict[str, list[Any]]:
    """The columns of TOKENIZED that are no lists of numbers."""
    columns: dict[str, list[Any]] = {
        "doc_id": [row.item.doc_id for row in rows],
        "version": [version_of(row.item) for row in rows],
        "content_hash": [row.content_hash for row in rows],
        "shard": [account.shard] * len(rows),
        "status": [row.status for row in rows],
        "reason": [row.item.reason if isinstance(row.item, Rejection) else None for row in rows],
        "detail": [row.item.detail if isinstance(row.item, Rejection) else None for row in rows],
        "key": [row.key for row in rows],
        "id_hash": [row.id_hash for row in rows],
        "shard_number": [account.shard_number] * len(rows),
        "part": [account.part] * len(rows),
        "position": [account.position] * len(rows),
    }
    documents = [row.item if isinstance(row.item, Document) else None for row in rows]
    for name in ("title", "year", "journal", "text"):
        columns[name] = [getattr(document, name) if document else None for document in documents]
    columns["metadata"] = [
        as_json(document.metadata) if document and document.metadata else None for document in documents
    ]
    columns["sections"] = [[asdict(section) for section in d.sections] if d else None for d in documents]
    return columns


def checked(item: Item, seen: set[tuple[int, int]], shard: str, item_key: str) -> Item:
    """The item itself, or a rejection if it repeats an id of its shard or is no text that tables can hold.

    seen:     hashes of the ids of the shard's items so far, with their versions
    item_key: names the item where its id cannot
    """
    try:
        item.doc_id.encode()
    except UnicodeEncodeError:
        return Rejection(item_key, "bad_encoding", "a lone surrogate in the id")
    if not 0 < len(item.doc_id) <= LONGEST_ID:
        return Rejection(item_key, "bad_record", f"an id of {len(item.doc_id)} characters")
    if item.doc_id.endswith(UNREADABLE) and not _marks_member(item, shard):
        return Rejection(item_key, "bad_record", f"{item.doc_id}: such ids stand for what could not be read")
    identity_ = (identity.id_hash(item.doc_id), version_of(item))
    if not isinstance(item, Deletion) and identity_ in seen:
        return Rejection(item_key, "duplicate_id", f"{item.doc_id} stands earlier in this shard")
    seen.add(identity_)
    if isinstance(item, Document):
        names = [section.name for section in item.sections]
        try:
            if _depth(item.metadata) > DEEPEST:
                raise RecursionError
            item.text.encode()
            json.dumps([item.title, item.journal, names, item.metadata], ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            return Rejection(item.doc_id, "bad_encoding", "a lone surrogate in the text, title or metadata")
        except RecursionError:
            return Rejection(item.doc_id, "bad_record", f"metadata nested deeper than {DEEPEST} levels")
    if isinstance(item, Rejection):
        return Rejection(item.doc_id, item.reason, as_detail(item.detail))
    return item


def _marks_member(item: Item, shard: str) -> bool:
    return isinstance(item, Rejection) and item.doc_id.startswith(f"{shard}!")


def _depth(value: Any) -> int:
    """How deep lists and mappings are nested; 0 for any other value."""
    inner = value.values() if isinstance(value, Mapping) else value
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, Mapping | list | tuple) else 0


def is_title_alone(item: Item) -> bool:
    """True for a document that has a title and no other text, as many citations have."""
    names = {section.name.lower() for section in item.sections} if isinstance(item, Document) else set()
    return bool(names) and names <= {"title", "trans-title"}


def as_json(metadata: Mapping[str, Any]) -> str:
    """Metadata as JSON, which has no NaN and no Infinity."""
    try:
        return json.dumps(metadata, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(metadata, default=str), parse_constant=lambda name: None))


def version_of(item: Item) -> int:
    """The version of a document or deletion; 0 for a rejection, which has none."""
    return 0 if isinstance(item, Rejection) else item.version


def as_detail(message: str) -> str:
    """A message as tables can hold it."""
    return message[:1000].encode("utf-8", "replace").decode()
