"""From a shard to rows ready for the model: what is known is left out, the rest split, tokenized and laid in columns.

One row a document, whatever becomes of it, and one that closes the shard with its account.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer

from craft_ray import identity
from craft_ray.errors import ShardError, StorageDown
from craft_ray.ledger import Fate, Ledger, State
from craft_ray.readers import read_shard
from craft_ray.schema import FAILURE, PREPARED, RETRACTED, SHARD_END, Deletion, Document, Item, Rejection
from craft_ray.sentences import sentence_spans
from craft_ray.windows import Pieces, cut_pieces, join_pieces, lay_windows

BATCH = 200_000
"""Code points tokenized at once; bounds the memory of the tokenizer's own objects, also within one long document."""

LONGEST_ID = 1000
"""Code points of an id; each mention carries it."""

UNREADABLE = "#unreadable"
"""How the ids of rows end that stand for what a broken shard or member did not give."""

DEEPEST = 100
"""Levels of lists and mappings in metadata; what encodes them goes down a level at a time."""


ROWS = 1024
"""Documents laid in columns at once."""


@dataclass(slots=True)
class ShardAccount:
    """What a shard held: found = emitted + unchanged + superseded.

    restated: ids of those unchanged that the tables have from an earlier shard
    """

    shard: str
    shard_number: int
    found: int = 0
    emitted: int = 0
    unchanged: int = 0
    superseded: int = 0
    restated: list[int] = field(default_factory=list)
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Preparer:
    """What shards are prepared with: tokenizer, sizes of windows (as in `Checkpoint`), fingerprint, what is known.

    rejected: by shard, the rejected rows in the tables that are named by their place in it, for want of an id
    read:     (shards,) ranks of all shards that the run reads, sorted
    refusal:  why each document is rejected in place of being annotated, if it is
    """

    tokenizer: Tokenizer
    max_pieces: int
    window_pieces: int
    fingerprint: str
    ledger: Ledger
    rejected: Mapping[str, Sequence[str]] = field(default_factory=dict)
    read: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    rows_at_once: int = ROWS
    refusal: str | None = None

    def prepare(self, stream: BinaryIO, shard: str, number: int, format: str | None) -> Iterator[pa.Table]:
        """Yield PREPARED tables for a shard; the last row of the last one closes it.

        Depends on nothing but its arguments, as a task that Ray runs again must.
        """
        account = ShardAccount(shard, number)
        rows: list[_Row] = []
        size = 0
        for row in self._rows(stream, account, format):
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

    def _rows(self, stream: BinaryIO, account: ShardAccount, format: str | None) -> Iterator["_Row"]:
        """The shard's items that need work, counted."""
        seen: set[tuple[int, int]] = set()
        mended = set(self.rejected.get(account.shard, ()))
        try:
            for item in read_shard(stream, account.shard, format):
                item = self._judged(_checked(item, seen, account))
                mended.discard(item.doc_id)
                if (row := self._row(item, account)) is not None:
                    yield row
        except ShardError as error:
            account.reason, account.detail = error.reason, error.detail
        except StorageDown:
            raise
        except Exception as error:  # whatever storage or a reader raises; the shard's other documents must come through
            account.reason, account.detail = "unreadable", f"{type(error).__name__}: {error}"
        if account.reason is not None:
            if (row := self._row(_mark(account), account)) is not None:
                yield row
            return
        for doc_id in sorted(mended):
            yield _Row(Rejection(doc_id, "", ""), RETRACTED, "", 0, identity.id_hash(doc_id))

    def _judged(self, item: Item) -> Item:
        """The item, or its rejection where all documents are refused."""
        if self.refusal is not None and isinstance(item, Document):
            return Rejection(item.doc_id, "failed", self.refusal)
        return item

    def _row(self, item: Item, account: ShardAccount) -> "_Row | None":
        """An item with its identity, or None if the tables need nothing of it; counts it either way."""
        account.found += 1
        content = identity.content_hash(item)
        status = {Document: "annotated", Rejection: "rejected", Deletion: "deleted"}[type(item)]
        key = identity.key(item.doc_id, content, self.fingerprint if status == "annotated" else "")
        hashed = identity.id_hash(item.doc_id)
        revision = identity.revision(_version(item), account.shard_number, status == "rejected")
        fate = self.ledger.fate(hashed, key, revision, status == "deleted")
        if fate is Fate.UNCHANGED or (fate is Fate.RESTATED and not self._may_be_revised(hashed, account)):
            account.unchanged += 1
            if fate is Fate.RESTATED or self.ledger.held(hashed)["state"] == State.RESTATED:
                account.restated.append(hashed)
        elif fate is Fate.SUPERSEDED:
            account.superseded += 1
        else:
            account.emitted += 1
            return _Row(item, status, content, key, hashed)
        return None

    def _may_be_revised(self, id_hash: int, account: ShardAccount) -> bool:
        """Whether this run reads a shard between the one that the tables have a document from and this one.

        What that shard gives would be taken for news if the document were left out here.
        """
        held = int(identity.shard_numbers(self.ledger.held(id_hash)["revision"]))
        first, last = np.searchsorted(self.read, [held + 1, account.shard_number])
        return bool(first < last)

    def _table(self, rows: list["_Row"], account: ShardAccount, closing: bool = False) -> pa.Table:
        """Rows as a PREPARED table, tokenized; a document that fails on the way is rejected alone."""
        documents = [row.item if isinstance(row.item, Document) else _NOTHING for row in rows]
        try:
            tokens = self._tokenize(documents)
        except Exception:  # one bad document must not take the others with it; it is found below
            rows = [self._verified(row) for row in rows]
            documents = [row.item if isinstance(row.item, Document) else _NOTHING for row in rows]
            tokens = self._tokenize(documents)
        columns = _columns(rows, account)
        if closing:
            end = dict.fromkeys(PREPARED.names) | {"status": SHARD_END, "shard": account.shard}
            end |= {
                "doc_id": account.shard,
                "shard_number": account.shard_number,
                "detail": json.dumps(asdict(account)),
            }
            for name in columns:
                columns[name].append(end[name])
        table = pa.table({name: pa.array(values, PREPARED.field(name).type) for name, values in columns.items()})
        for name, values in tokens.items():
            if closing:
                values = pa.concat_arrays([values, pa.array([[]], values.type)])
            table = table.append_column(name, values)
        table = table.append_column("n_tokens", pc.list_value_length(table["token_ids"]))
        return table.select(PREPARED.names).cast(PREPARED)

    def _tokenize(self, documents: Sequence[Document]) -> dict[str, pa.ListArray]:
        return tokenize(documents, self.tokenizer, self.max_pieces, self.window_pieces)

    def _verified(self, row: "_Row") -> "_Row":
        """The row itself if it can be tokenized, else a rejection with the error."""
        if isinstance(row.item, Document):
            try:
                self._tokenize([row.item])
            except Exception as error:
                item = Rejection(row.item.doc_id, "failed", f"{type(error).__name__}: {error}")
                content = identity.content_hash(item)
                return _Row(item, "rejected", content, identity.key(item.doc_id, content, ""), row.id_hash)
        return row


@dataclass(frozen=True, slots=True)
class _Row:
    item: Item
    status: str
    content_hash: str
    key: int
    id_hash: int


_NOTHING = Document("", "", ())


def failure_of(message: str) -> pa.Table:
    """A table of one row that ends the run."""
    row: dict[str, Any] = {field.name: [] if pa.types.is_list(field.type) else None for field in PREPARED}
    return pa.Table.from_pylist([row | {"status": FAILURE, "detail": message}], schema=PREPARED)


def rejection_of(row: pa.Table, reason: str, detail: str) -> pa.Table:
    """A table of one prepared row, an annotated document's, as its rejection."""
    fields = row.select(["doc_id", "shard", "shard_number"]).to_pylist()[0]
    item = Rejection(fields["doc_id"], reason, detail[:1000])
    content = identity.content_hash(item)
    key = identity.key(item.doc_id, content, "")
    account = ShardAccount(fields["shard"], fields["shard_number"])
    columns = _columns([_Row(item, "rejected", content, key, identity.id_hash(item.doc_id))], account)
    empty: dict[str, list[Any]] = {name: [[]] for name in PREPARED.names if name not in columns} | {"n_tokens": [0]}
    return pa.table(columns | empty, schema=PREPARED)


def tokenize(
    documents: Sequence[Document], tokenizer: Tokenizer, max_pieces: int, window_pieces: int = 0
) -> dict[str, pa.ListArray]:
    """Sentences, windows and words of documents as list columns, one list a document; names as in PREPARED."""
    starts: list[int] = []
    ends: list[int] = []
    owner: list[int] = []
    parts: list[Pieces] = []
    chunk: list[str] = []
    size = 0
    for number, document in enumerate(documents):
        for section in document.sections:
            for start, end in sentence_spans(document.text, section.start, section.end):
                starts.append(start)
                ends.append(end)
                owner.append(number)
                chunk.append(document.text[start:end])
                size += end - start
                if size >= BATCH:
                    parts.append(cut_pieces(tokenizer, chunk))
                    chunk, size = [], 0
    pieces = join_pieces([*parts, cut_pieces(tokenizer, chunk)])
    document_of = np.array(owner, np.int64)
    windows = lay_windows(pieces, max_pieces, window_pieces, document_of)
    word_document = document_of[pieces.word_sentence]
    window_document = document_of[windows.window_sentence]

    count = len(documents)
    n_sentences = np.bincount(document_of, minlength=count)
    n_windows = np.bincount(window_document, minlength=count)
    n_words = np.bincount(word_document, minlength=count)
    n_pieces = np.bincount(window_document, weights=windows.window_length, minlength=count).astype(np.int64)
    first_sentence, first_piece = np.cumsum(n_sentences) - n_sentences, np.cumsum(n_pieces) - n_pieces
    sentence_start = np.array(starts, np.int32)
    offset = sentence_start[pieces.word_sentence]
    return {
        "sentence_start": _lists(sentence_start, n_sentences),
        "sentence_end": _lists(np.array(ends, np.int32), n_sentences),
        "token_ids": _lists(windows.token_ids, n_pieces),
        "window_length": _lists(windows.window_length, n_windows),
        "word_piece": _lists(windows.word_piece - first_piece[word_document], n_words),
        "word_sentence": _lists(pieces.word_sentence - first_sentence[word_document], n_words),
        "word_start": _lists(offset + pieces.word_start, n_words),
        "word_end": _lists(offset + pieces.word_end, n_words),
    }


def _lists(values: NDArray[Any], counts: NDArray[np.int64]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(np.int32)))


def _columns(rows: list[_Row], account: ShardAccount) -> dict[str, list[Any]]:
    """The columns of PREPARED that are no lists of numbers."""
    columns: dict[str, list[Any]] = {
        "doc_id": [row.item.doc_id for row in rows],
        "version": [_version(row.item) for row in rows],
        "content_hash": [row.content_hash for row in rows],
        "shard": [account.shard] * len(rows),
        "status": [row.status for row in rows],
        "reason": [row.item.reason if isinstance(row.item, Rejection) else None for row in rows],
        "detail": [row.item.detail if isinstance(row.item, Rejection) else None for row in rows],
        "key": [row.key for row in rows],
        "id_hash": [row.id_hash for row in rows],
        "shard_number": [account.shard_number] * len(rows),
    }
    documents = [row.item if isinstance(row.item, Document) else None for row in rows]
    for name in ("title", "year", "journal", "text"):
        columns[name] = [getattr(document, name) if document else None for document in documents]
    columns["metadata"] = [
        _json(document.metadata) if document and document.metadata else None for document in documents
    ]
    columns["sections"] = [[asdict(section) for section in d.sections] if d else None for d in documents]
    return columns


def _checked(item: Item, seen: set[tuple[int, int]], account: ShardAccount) -> Item:
    """The item itself, or a rejection if it repeats an id of its shard or is no text that tables can hold."""
    place = f"{account.shard}#item-{account.found}"
    try:
        item.doc_id.encode()
    except UnicodeEncodeError:
        return Rejection(place, "bad_encoding", "a lone surrogate in the id")
    if not 0 < len(item.doc_id) <= LONGEST_ID:
        return Rejection(place, "bad_record", f"an id of {len(item.doc_id)} characters")
    if item.doc_id.endswith(UNREADABLE) and not _marks_member(item, account):
        return Rejection(place, "bad_record", f"{item.doc_id}: such ids stand for what could not be read")
    identity_ = (identity.id_hash(item.doc_id), _version(item))
    if not isinstance(item, Deletion) and identity_ in seen:
        return Rejection(place, "duplicate_id", f"{item.doc_id} stands earlier in this shard")
    seen.add(identity_)
    if isinstance(item, Document):
        names = [section.name for section in item.sections]
        try:
            if _depth(item.metadata) > DEEPEST:
                raise RecursionError
            fields = [item.text, item.title, item.journal, names, item.metadata]
            json.dumps(fields, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            return Rejection(item.doc_id, "bad_encoding", "a lone surrogate in the text, title or metadata")
        except RecursionError:
            return Rejection(item.doc_id, "bad_record", f"metadata nested deeper than {DEEPEST} levels")
    if isinstance(item, Rejection):
        return Rejection(item.doc_id, item.reason, _detail(item.detail))
    return item


def _marks_member(item: Item, account: ShardAccount) -> bool:
    return isinstance(item, Rejection) and item.doc_id.startswith(f"{account.shard}!")


def _depth(value: Any) -> int:
    """How deep lists and mappings are nested."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return 1 + max(map(_depth, inner), default=0)


def _size(item: Item) -> int:
    """About how much memory an item takes beside its id."""
    if not isinstance(item, Document):
        return 0
    return len(item.text) + len(item.title or "") + len(item.journal or "") + len(_json(item.metadata))


def _json(metadata: Mapping[str, Any]) -> str:
    """Metadata as JSON, which has no NaN and no Infinity."""
    try:
        return json.dumps(metadata, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(json.loads(json.dumps(metadata, default=str), parse_constant=lambda name: None))


def _version(item: Item) -> int:
    return 0 if isinstance(item, Rejection) else item.version


def _mark_id(shard: str) -> str:
    return f"{shard}{UNREADABLE}"


def _mark(account: ShardAccount) -> Rejection:
    """The row that stands for what a broken shard did not give."""
    detail = _detail(f"after {account.found} documents: {account.detail}")
    return Rejection(_mark_id(account.shard), account.reason or "unreadable", detail)


def _detail(message: str) -> str:
    """A message as tables can hold it."""
    return message[:1000].encode("utf-8", "replace").decode()
