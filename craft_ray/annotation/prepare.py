"""From a shard to rows ready for the model: what is known is left out, the rest split, tokenized and laid in columns.

One row per document, whatever becomes of it, and one row that closes the shard with its account.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray.annotation.account import ShardAccount
from craft_ray.annotation.plan import Attempt
from craft_ray.annotation.rows import (
    SHARD_END,
    TOKENIZED,
    Row,
    as_detail,
    as_json,
    checked,
    columns_of,
    failure_of,
    version_of,
)
from craft_ray.core.errors import ShardError, StorageError
from craft_ray.core.logs import LogFormat, bound, log_as
from craft_ray.core.schema import UNREADABLE, Deletion, Document, Item, Rejection
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.tokens import BATCH, tokenize
from craft_ray.model.windows import Windower
from craft_ray.readers import ReadOptions, read_shard
from craft_ray.storage.failures import describe, explain
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import RETRACTED
from craft_ray.tables.ledger import Ledger, Outcome, State

LOST = "its process died each time"
"""What the account says of a document or a shard that no pass could bring through."""


ROWS = 1024
"""Documents laid in columns at once."""


@dataclass(frozen=True, slots=True)
class ReadTask:
    """The part of a run that its read tasks need, through the object store; `ledger` is mapped there, not copied.

    tokenizer:     as JSON; max_tokens and window_pieces as in `Checkpoint`
    fingerprint:   of the model, part of each document's key
    rejected:      by shard, the rejected rows in the tables that are named by their place in it, for want of an id
    read:          (shards,) ranks of all shards that the run reads, sorted
    unread:        numbers of the shards that the last attempt rejects whole, for no attempt has read them to the end
    options:       how documents are read
    """

    tokenizer: str
    max_tokens: int
    window_pieces: int
    fingerprint: str
    ledger: Ledger
    rejected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    read: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    unread: frozenset[int] = frozenset()
    options: ReadOptions = field(default_factory=ReadOptions)
    run_id: str = ""
    log_format: LogFormat = "text"

    @classmethod
    def of(cls, checkpoint: Checkpoint, ledger: Ledger, **more: Any) -> "ReadTask":
        """The task of a model, given what the tables hold; `more` as the fields above."""
        return cls(
            checkpoint.tokenizer,
            checkpoint.max_tokens,
            checkpoint.window_pieces,
            checkpoint.fingerprint,
            ledger,
            **more,
        )


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Prepares shards for a read task.

    refusal: why each document is rejected in place of being annotated, if it is
    """

    task: ReadTask
    rows_at_once: int = ROWS
    refusal: str | None = None

    def prepare(self, stream: BinaryIO, shard: str, number: int) -> Iterator[pa.Table]:
        """Yield TOKENIZED tables for a shard; the last row of the last one closes it.

        Depends on nothing but its arguments, as a task that Ray runs again must.
        """
        account = ShardAccount(shard, number)
        rows: list[Row] = []
        size = 0
        for row in self._rows(stream, account):
            rows.append(row)
            size += _size(row.item)
            if size >= BATCH or len(rows) >= self.rows_at_once:
                yield self._table(rows, account)
                rows, size = [], 0
        yield self._table(rows, account, closing=True)

    def closing(self, shard: str, number: int, reason: str, detail: str) -> pa.Table:
        """The table of a shard that could not even be opened."""
        account = ShardAccount(shard, number, reason=reason, detail=detail)
        mark = self._row(_mark(account), account)
        return self._table([mark] if mark else [], account, closing=True)

    def _rows(self, stream: BinaryIO, account: ShardAccount) -> Iterator["Row"]:
        """The shard's items that need work, counted."""
        seen: set[tuple[int, int]] = set()
        mended = set(self.task.rejected.get(account.shard, ()))
        try:
            for item in read_shard(stream, account.shard, self.task.options):
                item = self._judged(checked(item, seen, account))
                mended.discard(item.doc_id)
                if (row := self._row(item, account)) is not None:
                    yield row
        except ShardError as error:
            account.reason, account.detail = error.reason, error.detail
        except StorageError:
            raise
        except Exception as error:  # whatever storage or a reader raises; the shard's other documents must come through
            account.reason, account.detail = "unreadable", f"{type(error).__name__}: {error}"
        if account.reason is not None:
            if (row := self._row(_mark(account), account)) is not None:
                yield row
            return
        for doc_id in sorted(mended):
            yield Row(Rejection(doc_id, "", ""), RETRACTED, "", 0, identity.id_hash(doc_id))

    def _judged(self, item: Item) -> Item:
        """The item, or its rejection where all documents are refused."""
        if self.refusal is not None and isinstance(item, Document):
            return Rejection(item.doc_id, "failed", self.refusal)
        return item

    def _row(self, item: Item, account: ShardAccount) -> "Row | None":
        """An item with its identity, or None if the tables need nothing of it; counts it either way."""
        account.found += 1
        content = identity.content_hash(item)
        status = {Document: "annotated", Rejection: "rejected", Deletion: "deleted"}[type(item)]
        key = identity.key(item.doc_id, content, self.task.fingerprint if status == "annotated" else "")
        hashed = identity.id_hash(item.doc_id)
        revision = identity.revision(version_of(item), account.shard_number, status == "rejected")
        outcome = self.task.ledger.outcome(hashed, key, revision, status == "deleted")
        if outcome is Outcome.UNCHANGED or (outcome is Outcome.REPEATED and not self._may_be_revised(hashed, account)):
            account.unchanged += 1
            if outcome is Outcome.REPEATED or self.task.ledger.held(hashed)["state"] == State.REPEATED:
                account.restated.append(hashed)
        elif outcome is Outcome.SUPERSEDED:
            account.superseded += 1
        else:
            account.emitted += 1
            return Row(item, status, content, key, hashed)
        return None

    def _may_be_revised(self, id_hash: int, account: ShardAccount) -> bool:
        """True if this run reads a shard between the one that the tables have a document from and this one.

        What that shard gives would be taken for news if the document were left out here.
        """
        held = int(identity.shard_numbers(self.task.ledger.held(id_hash)["revision"]))
        first, last = np.searchsorted(self.task.read, [held + 1, account.shard_number])
        return bool(first < last)

    def _table(self, rows: list["Row"], account: ShardAccount, closing: bool = False) -> pa.Table:
        """Rows as a TOKENIZED table, tokenized; a document that fails on the way is rejected alone."""
        documents = [row.item if isinstance(row.item, Document) else _NOTHING for row in rows]
        try:
            tokens = self._tokenize(documents)
        except Exception:  # one bad document must not take the others with it; it is found below
            rows = [self._verified(row) for row in rows]
            documents = [row.item if isinstance(row.item, Document) else _NOTHING for row in rows]
            tokens = self._tokenize(documents)
        columns = columns_of(rows, account)
        if closing:
            end = dict.fromkeys(TOKENIZED.names) | {"status": SHARD_END, "shard": account.shard}
            end |= {
                "doc_id": account.shard,
                "shard_number": account.shard_number,
                "detail": json.dumps(asdict(account)),
            }
            for name in columns:
                columns[name].append(end[name])
        table = pa.table({name: pa.array(values, TOKENIZED.field(name).type) for name, values in columns.items()})
        for name, values in tokens.items():
            if closing:
                values = pa.concat_arrays([values, pa.array([[]], values.type)])
            table = table.append_column(name, values)
        table = table.append_column("n_tokens", pc.list_value_length(table["token_ids"]))
        return table.select(TOKENIZED.names).cast(TOKENIZED)

    def _tokenize(self, documents: Sequence[Document]) -> dict[str, pa.ListArray]:
        task = self.task
        return tokenize(documents, Windower(_tokenizer(task.tokenizer), task.max_tokens, task.window_pieces))

    def _verified(self, row: "Row") -> "Row":
        """The row itself if it can be tokenized, else a rejection with the error."""
        if isinstance(row.item, Document):
            try:
                self._tokenize([row.item])
            except Exception as error:
                item = Rejection(row.item.doc_id, "failed", f"{type(error).__name__}: {error}")
                content = identity.content_hash(item)
                return Row(item, "rejected", content, identity.key(item.doc_id, content, ""), row.id_hash)
        return row


_NOTHING = Document("", "", ())


def _size(item: Item) -> int:
    """About how much memory an item takes beside its id."""
    if not isinstance(item, Document):
        return 0
    return len(item.text) + len(item.title or "") + len(item.journal or "") + len(as_json(item.metadata))


def _mark_id(shard: str) -> str:
    return f"{shard}{UNREADABLE}"


def _mark(account: ShardAccount) -> Rejection:
    """The row that stands for what a broken shard did not give."""
    detail = as_detail(f"after {account.found} documents: {account.detail}")
    return Rejection(_mark_id(account.shard), account.reason or "unreadable", detail)


def prepare_shards(
    batch: pa.Table, storage: Storage, task: "ray.ObjectRef[ReadTask]", attempt: Attempt
) -> Iterator[pa.Table]:
    """Read task: shards of one group to prepared tables."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # Ray runs as many tasks as there are cores
    shared: ReadTask = ray.get(task)
    log_as(shared.log_format)
    preparer = Preprocessor(
        shared,
        rows_at_once=1 if attempt is Attempt.ISOLATE else ROWS,
        refusal=LOST if attempt is Attempt.REJECT else None,
    )
    try:
        for group in batch.to_pylist():
            for fields in json.loads(group["shards"]):
                shard = Shard(**fields)
                with bound(run_id=shared.run_id, shard=shard.name):
                    if attempt is Attempt.REJECT and shard.number in shared.unread:
                        yield preparer.closing(shard.name, shard.number, "failed", LOST)
                    else:
                        yield from _prepared(preparer, shard, storage)
    except Exception as error:
        yield failure_of(explain(error))


def _prepared(preparer: Preprocessor, shard: Shard, storage: Storage) -> Iterator[pa.Table]:
    try:
        stream = storage.open(shard.name)
    except StorageError:
        raise
    except Exception as error:  # whatever storage raises costs this shard alone
        yield preparer.closing(shard.name, shard.number, "unreadable", describe(error))
        return
    with stream:
        yield from preparer.prepare(stream, shard.name, shard.number)


@lru_cache(maxsize=1)
def _tokenizer(serialized: str) -> Tokenizer:
    return Tokenizer.from_str(serialized)
