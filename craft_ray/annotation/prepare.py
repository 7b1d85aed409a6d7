"""From a shard to rows ready for the model: what is known is left out, the rest split, tokenized and laid in columns.

One row per document, whatever becomes of it, and one row that closes the shard with its account.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from numpy.typing import NDArray
from tokenizers import Tokenizer

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
    is_title_alone,
    version_of,
)
from craft_ray.annotation.shard_account import ShardAccount
from craft_ray.annotation.shared_ledger import SharedLedger
from craft_ray.core.errors import ShardError, StorageError
from craft_ray.core.logs import LogFormat, configure_logging, log_fields
from craft_ray.core.schema import TRANSIENT_REASONS, UNREADABLE, Deletion, Document, Item, Rejection
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.tokens import BATCH, tokenize
from craft_ray.model.windows import Windower
from craft_ray.readers import ArchivePart, ReadOptions, read_items
from craft_ray.storage.failures import describe, explain
from craft_ray.storage.prefetch import prefetch
from craft_ray.storage.shards import Shard, unpack_shards
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import DUPLICATE, RETRACTED
from craft_ray.tables.ledger import Ledger, Outcome, entries

LOST = "its process died each time"
"""The detail of a document or a shard that no pass could bring through."""


ROWS = 1024
"""Documents laid in columns at once."""


@dataclass(frozen=True, slots=True)
class ReadTask:
    """The part of a run that its read tasks need.

    tokenizer:     as JSON; max_tokens and window_pieces as in `Checkpoint`
    fingerprint:   of the model, part of each document's key
    rejected:      by shard's name, rejected rows in the tables that are named by their place in it, for want of an id
    read:          (shards,) ranks of all shards that the run reads, sorted
    unread:        numbers of the shards that the last attempt rejects whole, for no attempt has read them to the end
    options:       how documents are read
    limit:         documents to read of each shard; None for all
    with_ids:      whether accounts of shards have the ids of all that was found
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
    limit: int | None = None
    with_ids: bool = False
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


SharedReadTask = tuple[ReadTask, SharedLedger]
"""A read task as the object store has it: without its ledger, and that."""


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Prepares shards for a read task.

    refusal: why each document is rejected in place of being annotated, if it is
    """

    task: ReadTask
    rows_at_once: int = ROWS
    refusal: str | None = None

    def prepare(self, stream: BinaryIO, shard: Shard) -> Iterator[pa.Table]:
        """Yield TOKENIZED tables for a shard, or one part of an archive; the last row of the last one closes it.

        Depends on nothing but its arguments, as a task that Ray runs again must.
        """
        account = ShardAccount.of(shard)
        rows: list[Row] = []
        size = 0
        options = replace(self.task.options, format=shard.format) if shard.format else self.task.options
        for row in self._rows(stream, account, options):
            rows.append(row)
            size += _size(row.item)
            if size >= BATCH or len(rows) >= self.rows_at_once:
                account.position = _position(stream) // account.parts
                yield self._table(rows, account)
                rows, size = [], 0
        yield self._table(rows, account, closing=True)

    def closing(self, shard: Shard, reason: str, detail: str) -> pa.Table:
        """The table of a shard that could not even be opened."""
        account = ShardAccount.of(shard)
        account.reason, account.detail = reason, detail
        return self._table(self._needed(_marks(account), account), account, closing=True)

    def _rows(self, stream: BinaryIO, account: ShardAccount, options: ReadOptions) -> Iterator["Row"]:
        """The shard's items that need work, counted."""
        part = ArchivePart(account.part, account.parts)
        mended = {doc_id for doc_id in self.task.rejected.get(account.named, ()) if part.owns_id(doc_id, account.named)}
        for items in self._items(stream, account, options):
            mended.difference_update(item.doc_id for item in items)
            yield from self._needed(items, account)
        yield from self._needed(_marks(account), account)
        if account.reason is not None or account.cut_short:
            return
        for doc_id in sorted(mended):
            # An attempt before this one may have taken it back.
            if self.task.ledger.holds(id_hash := identity.id_hash(doc_id)):
                yield Row(Rejection(doc_id, "", ""), RETRACTED, "", 0, id_hash)

    def _items(self, stream: BinaryIO, account: ShardAccount, options: ReadOptions) -> Iterator[list[Item]]:
        """The shard's items, so many at once as are looked up together; how reading ended is noted in the account."""
        seen: set[tuple[int, int]] = set()
        items: list[Item] = []
        size = 0
        try:
            part = ArchivePart(account.part, account.parts)
            for number, (item_key, item) in enumerate(read_items(stream, account.named, options, part)):
                if number == self.task.limit:
                    account.cut_short = True
                    break
                items.append(self._judged(checked(item, seen, account.named, item_key)))
                size += _size(items[-1])
                if size >= BATCH or len(items) >= ROWS:
                    yield items
                    items, size = [], 0
        except ShardError as error:
            account.reason, account.detail = error.reason, error.detail
        except StorageError:
            raise
        except Exception as error:  # whatever storage or a reader raises; the shard's other documents must come through
            account.reason, account.detail = "unreadable", f"{type(error).__name__}: {error}"
        yield items

    def _judged(self, item: Item) -> Item:
        """The item, or its rejection where all documents are refused."""
        if self.refusal is not None and isinstance(item, Document):
            return Rejection(item.doc_id, "failed", self.refusal)
        return item

    def _needed(self, items: Sequence[Item], account: ShardAccount) -> list["Row"]:
        """Those items of which the tables need something, with their identities; counts all of them."""
        rows = [self._identified(item) for item in items]
        number = account.shard_number
        arriving = entries(
            [row.id_hash for row in rows],
            [row.key for row in rows],
            [identity.revision(version_of(row.item), number, row.status == "rejected") for row in rows],
            [row.status == "deleted" for row in rows],
        )
        outcomes, held = self.task.ledger.outcomes(arriving)
        repeated = outcomes == Outcome.DUPLICATE
        unchanged = (outcomes == Outcome.UNCHANGED) | repeated & ~self._may_be_revised(held, number)
        needed = ~unchanged & (outcomes != Outcome.SUPERSEDED)
        account.found += len(rows)
        if account.parts > 1 or self.task.with_ids:
            account.ids += arriving["id"].tolist()
        account.unchanged += int(unchanged.sum())
        account.superseded += int((outcomes == Outcome.SUPERSEDED).sum())
        account.emitted += int(needed.sum())
        account.titles_alone += sum(is_title_alone(item) for item in items)
        account.duplicates += arriving["id"][unchanged & (repeated | held["duplicate"])].tolist()
        return [_bare(rows[at]) if repeated[at] else rows[at] for at in np.flatnonzero(needed)]

    def _identified(self, item: Item) -> "Row":
        content = identity.content_hash(item)
        status = {Document: "annotated", Rejection: "rejected", Deletion: "deleted"}[type(item)]
        key = identity.key(item.doc_id, content, self.task.fingerprint if status == "annotated" else "")
        return Row(item, status, content, key, identity.id_hash(item.doc_id))

    def _may_be_revised(self, held: NDArray[np.void], number: int) -> NDArray[np.bool_]:
        """True where this run reads a shard between the one that the tables have a document from and this one.

        What that shard gives would be taken for news if the document were left out here. (entries,)
        """
        first = np.searchsorted(self.task.read, identity.shard_numbers(held["revision"]) + 1)
        return first < np.searchsorted(self.task.read, number)

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


def _bare(row: Row) -> Row:
    """A row that the tables hold already: a document without its text, which no model need see again."""
    if not isinstance(row.item, Document):
        return row
    return Row(Deletion(row.item.doc_id, row.item.version), DUPLICATE, "", row.key, row.id_hash)


def _position(stream: BinaryIO) -> int:
    """Bytes of a file that have been read; 0 where its reader has closed it."""
    return 0 if stream.closed else stream.tell()


def _size(item: Item) -> int:
    """About how much memory an item takes beside its id."""
    if not isinstance(item, Document):
        return 0
    return len(item.text) + len(item.title or "") + len(item.journal or "") + len(as_json(item.metadata))


def _marks(account: ShardAccount) -> list[Item]:
    """The row that stands for what a broken shard did not give, if it is broken.

    All parts of an archive find its damage, and the first one tells. A part that failed by chance tells nothing, for
    the shard is read once more, whole.
    """
    if account.reason is None or account.part > 0 or (account.parts > 1 and account.reason in TRANSIENT_REASONS):
        return []
    return [Rejection(f"{account.named}{UNREADABLE}", account.reason, as_detail(account.detail or ""))]


def prepare_shards(
    batch: pa.Table, storage: Storage, task: "ray.ObjectRef[SharedReadTask]", attempt: Attempt
) -> Iterator[pa.Table]:
    """Read task: shards of one group to prepared tables."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # Ray runs as many tasks as there are cores
    without_ledger, ledger = ray.get(task)
    shared = replace(without_ledger, ledger=ledger.opened())
    configure_logging(shared.log_format)
    for group in batch.to_pylist():
        yield from prepare_group(unpack_shards(group["shards"]), storage, shared, attempt)


def prepare_group(shards: Sequence[Shard], storage: Storage, task: ReadTask, attempt: Attempt) -> Iterator[pa.Table]:
    """Yield the prepared tables of shards, in the manner of an attempt; an error that no shard may cost is a row."""
    preparer = Preprocessor(
        task,
        rows_at_once=1 if attempt is Attempt.ISOLATE else ROWS,
        refusal=LOST if attempt is Attempt.REJECT else None,
    )
    try:
        for shard, opened in prefetch(storage, shards):
            with log_fields(run_id=task.run_id, shard=shard.name):
                if attempt is Attempt.REJECT and shard.number in task.unread:
                    yield preparer.closing(shard, "failed", LOST)
                else:
                    yield from _prepared(preparer, shard, opened)
    except Exception as error:
        yield failure_of(explain(error))


def _prepared(preparer: Preprocessor, shard: Shard, opened: Callable[[], BinaryIO]) -> Iterator[pa.Table]:
    try:
        stream = opened()
    except StorageError:
        raise
    except Exception as error:  # whatever storage raises costs this shard alone
        yield preparer.closing(shard, "unreadable", describe(error))
        return
    with stream:
        yield from preparer.prepare(stream, shard)


@lru_cache(maxsize=1)
def _tokenizer(serialized: str) -> Tokenizer:
    return Tokenizer.from_str(serialized)
