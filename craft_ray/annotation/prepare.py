"""Read tasks: from shards to rows for the model. Documents that the tables have are left out, others are tokenized.

Each document becomes one row, whatever happens to it, and one row closes each shard with its account.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from numpy.typing import NDArray

from craft_ray.annotation.counts import ShardAccount
from craft_ray.annotation.inputs import options_for
from craft_ray.annotation.items import CheckedItem, SeenIds, check_item, is_title_alone, reject_repeated
from craft_ray.annotation.plan import Attempt
from craft_ray.annotation.rows import SHARD_END, TOKENIZED, Row, failure_row, scalar_columns
from craft_ray.core.errors import ShardError, StorageError
from craft_ray.core.logs import LogFormat, configure_logging, log_fields
from craft_ray.core.schema import TRANSIENT_REASONS, UNREADABLE, Document, Item
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.tokens import MAX_CHARACTERS, TooManyPiecesError, tokenize
from craft_ray.model.windows import Windower
from craft_ray.readers import read_items
from craft_ray.readers.archives import ArchivePart
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.failures import describe, explain, is_transient
from craft_ray.storage.prefetch import prefetch
from craft_ray.storage.shards import Shard, unpack_shards
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import RETRACTED
from craft_ray.tables.identity import IdHasher
from craft_ray.tables.ledger import COLUMNS, Ledger, Outcome, Part, admitted, entries

LOST = "its process died each time"
"""Detail of a document or a shard that no pass has finished."""

MAX_PIECES = 2_000_000
"""Word pieces of a document, as of a book of 4,000 pages."""

MAX_ROWS = 1024
"""Documents that are looked up together, and rows of a table."""


@dataclass(frozen=True, slots=True)
class ReadTask:
    """What the read tasks of a pass need.

    checkpoint:   the model without its weights
    ids:          hashes the ids of documents
    rejected:     by the name of a shard, ids of rejected rows in the tables that are named by their position in it
    shard_numbers: of all shards that the run reads, sorted; shape (shards,)
    never_closed: numbers of the shards that the last attempt rejects, because no earlier one has read them to the end
    limit:        documents to read of each shard, None for all
    with_ids:     whether shard accounts hold the ids of all documents found
    """

    checkpoint: Checkpoint
    ids: IdHasher = field(default_factory=IdHasher)
    ledger: Ledger = field(default_factory=Ledger)
    rejected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shard_numbers: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    never_closed: frozenset[int] = frozenset()
    options: ReadOptions = field(default_factory=ReadOptions)
    limit: int | None = None
    with_ids: bool = False
    run_id: str = ""
    log_format: LogFormat = "text"

    @classmethod
    def of(cls, checkpoint: Checkpoint, **more: Any) -> "ReadTask":
        """The task for a model; `more` are the other fields."""
        return cls(replace(checkpoint, weights={}, stand_in=None, seen=None), **more)


@dataclass(frozen=True, slots=True)
class SharedLedger:
    """A ledger in the object store, as it was when it was shared. columns: those of the merged part, one object each"""

    columns: Sequence[ray.ObjectRef]

    @classmethod
    def of(cls, ledger: Ledger) -> "SharedLedger":
        """Share a ledger, which from then on uses the arrays in the object store itself.

        Only one column at a time is in memory twice: of 38 million documents, a whole copy takes another gigabyte.
        """
        part = ledger.merged()
        columns = []
        for name in COLUMNS:
            columns.append(ray.put(getattr(part, name)))
            setattr(part, name, ray.get(columns[-1]))
        return cls(columns)

    def opened(self) -> Ledger:
        """The ledger, whose arrays are mapped and not copied."""
        return Ledger([Part(*ray.get(list(self.columns)))])


SharedReadTask = tuple[ReadTask, SharedLedger]
"""A read task in the object store: the task without its ledger, and the ledger."""


def prepare_shards(
    batch: pa.Table, storage: Storage, task: "ray.ObjectRef[SharedReadTask]", attempt: Attempt
) -> Iterator[pa.Table]:
    """Ray Data's read stage: groups of packed shards to TOKENIZED tables."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # Ray runs as many tasks as there are cores
    without_ledger, ledger = ray.get(task)
    shared = replace(without_ledger, ledger=ledger.opened())
    configure_logging(shared.log_format)
    for group in batch.to_pylist():
        yield from prepare_group(unpack_shards(group["shards"]), storage, shared, attempt)


def prepare_group(shards: Sequence[Shard], storage: Storage, task: ReadTask, attempt: Attempt) -> Iterator[pa.Table]:
    """Yield the TOKENIZED tables of shards; an error that must end the run is a row (`rows.failure_row`)."""
    preprocessor = Preprocessor(
        task,
        max_rows=1 if attempt is Attempt.ISOLATE else MAX_ROWS,
        refusal=LOST if attempt is Attempt.REJECT else None,
        answers=storage.answers,
    )
    try:
        for shard, open_shard in prefetch(storage, shards):
            with log_fields(run_id=task.run_id, shard=shard.name):
                if attempt is Attempt.REJECT and shard.number in task.never_closed:
                    yield preprocessor.unread(shard, "failed", LOST)
                    continue
                try:
                    stream = open_shard()
                except Exception as error:  # concerns this shard alone, unless the store is down
                    if isinstance(error, StorageError) and not preprocessor.answers(shard.name):
                        raise
                    yield preprocessor.unread(shard, "unreadable", describe(error))
                    continue
                with stream:
                    yield from preprocessor.prepare(stream, shard)
    except Exception as error:
        yield failure_row(explain(error))


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Turns shards into TOKENIZED tables. The tables depend on nothing but the arguments, since Ray repeats tasks.

    max_rows: rows of a table
    refusal:  why every document is rejected instead of annotated, if so
    answers:  True if the store of an address is there, so that an error of storage concerns one file alone
    """

    task: ReadTask
    max_rows: int = MAX_ROWS
    refusal: str | None = None
    answers: Callable[[str], bool] = lambda url: False

    def prepare(self, stream: BinaryIO, shard: Shard) -> Iterator[pa.Table]:
        """Yield the tables of a shard, or of one part of an archive; the last row of the last one closes it."""
        account = ShardAccount.of(shard)
        rows: list[Row] = []
        size = 0
        for row in self._rows(stream, account, options_for(shard, self.task.options)):
            rows.append(row)
            size += row.checked.size
            if size >= MAX_CHARACTERS or len(rows) >= self.max_rows:
                position = 0 if stream.closed else stream.tell()  # some readers close the stream
                account.position = position // account.parts
                yield self._table(rows, account)
                rows, size = [], 0
        yield self._table(rows, account, closing=True)

    def unread(self, shard: Shard, reason: str, detail: str) -> pa.Table:
        """The table of a shard of which nothing can be read."""
        account = ShardAccount.of(shard)
        account.reason, account.detail = reason, detail
        return self._table(self._needed(_unreadable_mark(account), account), account, closing=True)

    def _rows(self, stream: BinaryIO, account: ShardAccount, options: ReadOptions) -> Iterator[Row]:
        """The rows that the tables need, of those that the shard gives."""
        part = ArchivePart(account.part, account.parts)
        rejected_before = self.task.rejected.get(account.named, ())
        mended = {doc_id for doc_id in rejected_before if part.owns_id(doc_id, account.named)}
        for items in self._items(stream, account, options):
            mended.difference_update(checked.item.doc_id for checked in items)
            yield from self._needed(items, account)
        yield from self._needed(_unreadable_mark(account), account)
        if account.reason is not None or account.cut_short:
            return
        for doc_id in sorted(mended):  # its row is removed, since the document has become readable
            id_hash = self.task.ids.hash(doc_id)
            if id_hash in self.task.ledger:  # an earlier attempt of this run may have removed it
                yield Row(CheckedItem.rejected(doc_id, "", ""), id_hash, RETRACTED, "", identity.key(doc_id, "", ""))

    def _items(self, stream: BinaryIO, account: ShardAccount, options: ReadOptions) -> Iterator[list[CheckedItem]]:
        """The shard's items in groups that are looked up together. The account notes how reading ended."""
        seen = SeenIds()
        group: list[tuple[str, Item, CheckedItem]] = []
        size = 0
        try:
            part = ArchivePart(account.part, account.parts)
            for number, (key, item) in enumerate(read_items(stream, account.named, options, part)):
                if number == self.task.limit:
                    account.cut_short = True
                    break
                checked = check_item(key, item, account.named)
                group.append((key, item, checked))
                size += checked.size
                if size >= MAX_CHARACTERS or len(group) >= MAX_ROWS:
                    yield self._judged(reject_repeated(group, seen, self.task.ids))
                    group, size = [], 0
        except ShardError as error:
            account.reason, account.detail = error.reason, error.detail
        except Exception as error:  # the documents read so far count
            if isinstance(error, StorageError) and not self.answers(account.shard):
                raise
            from_storage = isinstance(error, OSError | StorageError) or is_transient(error)
            account.reason = "unreadable" if from_storage else "reader_error"
            account.detail = f"{type(error).__name__}: {error}"
        yield self._judged(reject_repeated(group, seen, self.task.ids))

    def _judged(self, items: list[CheckedItem]) -> list[CheckedItem]:
        """The items, or rejections of the documents among them if every document is refused."""
        if self.refusal is None:
            return items
        return [
            CheckedItem.rejected(checked.item.doc_id, "failed", self.refusal)
            if isinstance(checked.item, Document)
            else checked
            for checked in items
        ]

    def _needed(self, items: Sequence[CheckedItem], account: ShardAccount) -> list[Row]:
        """The rows that the tables need, of some items; counts all of them."""
        ids = self.task.ids.hashes(checked.item.doc_id for checked in items)
        rows = [
            Row.of(checked, id_hash, self.task.checkpoint.fingerprint)
            for checked, id_hash in zip(items, ids.tolist(), strict=True)
        ]
        number = account.shard_number
        arriving = entries(
            ids,
            [row.key for row in rows],
            [identity.revision(row.checked.version, number, row.status == "rejected") for row in rows],
            [row.status == "deleted" for row in rows],
        )
        outcomes, existing = self.task.ledger.outcomes(arriving)
        duplicate = outcomes == Outcome.DUPLICATE
        needed = admitted(outcomes) | duplicate & self._needs_second_look(existing, number)
        superseded = outcomes == Outcome.SUPERSEDED
        unchanged = ~needed & ~superseded
        account.found += len(rows)
        account.emitted += int(needed.sum())
        account.unchanged += int(unchanged.sum())
        account.already_written += int((unchanged & existing["in_run"]).sum())
        account.superseded += int(superseded.sum())
        account.titles_alone += sum(is_title_alone(checked.item) for checked in items)
        account.duplicates += arriving["id"][unchanged & (duplicate | existing["duplicated"])].tolist()
        if account.parts > 1 or self.task.with_ids:
            account.ids += ids.tolist()
        return [rows[i].as_duplicate() if duplicate[i] else rows[i] for i in np.flatnonzero(needed)]

    def _needs_second_look(self, existing: NDArray[np.void], number: int) -> NDArray[np.bool_]:
        """Mask of the duplicates that the driver must look up again, shape (entries,).

        The run reads a shard that is ranked between the one of the existing row and this one. It may revise the
        document, and then this one is the newest revision.
        """
        numbers = self.task.shard_numbers
        first_after = np.searchsorted(numbers, identity.shard_numbers(existing["revision"]) + 1)
        mask: NDArray[np.bool_] = first_after < np.searchsorted(numbers, number)
        return mask

    def _table(self, rows: list[Row], account: ShardAccount, closing: bool = False) -> pa.Table:
        """Tokenize rows into a TOKENIZED table, with the row that closes the shard if asked for."""
        rows, tokens = self._tokenize(rows)
        columns = scalar_columns(rows, account)
        if closing:
            end = dict.fromkeys(columns) | {"status": SHARD_END, "doc_id": account.shard, "shard": account.shard}
            end |= {"shard_number": account.shard_number, "detail": json.dumps(asdict(account))}
            for name, values in columns.items():
                values.append(end[name])
        table = pa.table({name: pa.array(values, TOKENIZED.field(name).type) for name, values in columns.items()})
        for name, values in tokens.items():
            column = pa.concat_arrays([values, pa.array([[]], values.type)]) if closing else values
            table = table.append_column(name, column)
        table = table.append_column("n_tokens", pc.list_value_length(table["token_ids"]))
        return table.select(TOKENIZED.names).cast(TOKENIZED)

    def _tokenize(self, rows: Sequence[Row]) -> tuple[list[Row], dict[str, pa.ListArray]]:
        """The rows and their tokens. A document that cannot be tokenized is rejected alone."""
        documents = [row.item if isinstance(row.item, Document) else _NO_DOCUMENT for row in rows]
        windower = Windower.of(self.task.checkpoint)
        try:
            return [*rows], tokenize(documents, windower, MAX_PIECES)
        except TooManyPiecesError as error:
            row = _rejected(rows[error.document], "too_large", str(error))
            return self._tokenize([*rows[: error.document], row, *rows[error.document + 1 :]])
        except Exception as error:
            if not any(isinstance(row.item, Document) for row in rows):
                raise  # the tokenizer fails on no text at all: no document is to blame
            if len(rows) == 1:
                return self._tokenize([_rejected(rows[0], "failed", f"{type(error).__name__}: {error}")])
            return self._tokenize([self._tokenize([row])[0][0] for row in rows])


def _rejected(row: Row, reason: str, detail: str) -> Row:
    return Row.of(CheckedItem.rejected(row.item.doc_id, reason, detail), row.id_hash)


_NO_DOCUMENT = Document("", "", ())


def _unreadable_mark(account: ShardAccount) -> list[CheckedItem]:
    """The rejection that stands for what a broken shard did not give; none if it could be read.

    All parts of an archive find its damage, and the first one reports it. A part with an error that may pass reports
    nothing, since one task then reads the whole shard.
    """
    if account.reason is None or account.part > 0 or (account.parts > 1 and account.reason in TRANSIENT_REASONS):
        return []
    return [CheckedItem.rejected(f"{account.named}{UNREADABLE}", account.reason, account.detail or "")]
