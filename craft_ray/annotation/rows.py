"""The rows that travel through the pipeline: one per document, one that closes each shard, one for a failure."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from craft_ray.annotation.counts import ShardAccount
from craft_ray.annotation.items import CheckedItem
from craft_ray.core.schema import DOCUMENTS, Deletion, Document, Item, Rejection
from craft_ray.tables import identity
from craft_ray.tables.blocks import DUPLICATE

SHARD_END = "shard_end"
"""Status of the row that closes a shard; `detail` is its ShardAccount as JSON."""

FAILURE = "failure"
"""Status of a row that ends the run, with the cause in `detail`. Ray Data would drop an exception with its block."""

_INTS = pa.list_(pa.int32())

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
        ("unit_piece", _INTS),
        ("unit_sentence", _INTS),
        ("unit_start", _INTS),
        ("unit_end", _INTS),
        ("unit_inner", pa.list_(pa.bool_())),
    ]
)
"""A row between reading and prediction. Unit and sentence offsets count from the start of the document, the other lists
are as in `model.windows.Windows`; `part` and `position` are those of the ShardAccount when the row was made."""

PREDICTIONS = {
    "predicted_unit": _INTS,
    "label_ids": pa.list_(pa.int8()),
    "scores": pa.list_(pa.float32()),
    "computed_in": pa.string(),
}
"""Columns that a replica adds: `model.tags.Predictions`, and the number format of the computation."""

_STATUS = {Document: "annotated", Rejection: "rejected", Deletion: "deleted"}


@dataclass(frozen=True, slots=True)
class Row:
    """An item with its identity and the status that its row gets."""

    checked: CheckedItem
    id_hash: int
    status: str
    content_hash: str
    key: int

    @classmethod
    def of(cls, checked: CheckedItem, id_hash: int, fingerprint: str = "") -> "Row":
        """The row of an item. fingerprint: of the model, part of a document's key"""
        item = checked.item
        status = _STATUS[type(item)]
        content = identity.content_hash(item)
        key = identity.key(item.doc_id, content, fingerprint if status == "annotated" else "")
        return cls(checked, id_hash, status, content, key)

    @property
    def item(self) -> Item:
        return self.checked.item

    def as_duplicate(self) -> "Row":
        """The row without its text, which the tables have already; a row of another kind as it is."""
        if not isinstance(self.item, Document):
            return self
        item = Deletion(self.item.doc_id, self.item.version)
        return Row(CheckedItem(item), self.id_hash, DUPLICATE, "", self.key)


def failure_row(message: str) -> pa.Table:
    """A table of one row that ends the run."""
    row: dict[str, Any] = {field.name: [] if pa.types.is_list(field.type) else None for field in TOKENIZED}
    return pa.Table.from_pylist([row | {"status": FAILURE, "detail": message}], schema=TOKENIZED)


def rejection_row(row: pa.Table, reason: str, detail: str) -> pa.Table:
    """A table with the rejection of the one document in `row`."""
    fields = row.select(["doc_id", "id_hash", "shard", "shard_number"]).to_pylist()[0]
    account = ShardAccount(fields["shard"], fields["shard_number"], fields["shard"])
    rejected = Row.of(CheckedItem.rejected(fields["doc_id"], reason, detail), fields["id_hash"])
    columns = scalar_columns([rejected], account)
    empty: dict[str, list[Any]] = {name: [[]] for name in TOKENIZED.names if name not in columns} | {"n_tokens": [0]}
    return pa.table(columns | empty, schema=TOKENIZED)


def scalar_columns(rows: list[Row], account: ShardAccount) -> dict[str, list[Any]]:
    """The columns of TOKENIZED that are not lists of numbers."""
    columns: dict[str, list[Any]] = {
        "doc_id": [row.item.doc_id for row in rows],
        "version": [row.checked.version for row in rows],
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
        "metadata": [row.checked.metadata for row in rows],
    }
    documents = [row.item if isinstance(row.item, Document) else None for row in rows]
    for name in ("title", "year", "journal", "text"):
        columns[name] = [getattr(document, name) if document else None for document in documents]
    columns["sections"] = [
        [{"name": s.name, "start": s.start, "end": s.end} for s in document.sections] if document else None
        for document in documents
    ]
    return columns
