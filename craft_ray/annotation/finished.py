"""The files of a listing as earlier runs have noted them, in columns beside it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.schema import SHARDS, TRANSIENT_REASONS
from craft_ray.storage.shards import Listing, NameIndex

if TYPE_CHECKING:
    from craft_ray.tables.writer import Tables

_COLUMNS = ("shard", "size", "tag", "signature", "found", "reason", "detail", "run_id")

BATCH = 1 << 14
"""Rows of the table `shards` that are in memory as strings."""


class _Codes:
    """Numbers for strings, in the order of their coming, and -1 for null."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def of(self, column: pa.Array) -> NDArray[np.int32]:
        """The number of each string; (rows,)."""
        encoded = column.dictionary_encode()
        numbers = [self.number.setdefault(text, len(self.number)) for text in encoded.dictionary.to_pylist()]
        codes: NDArray[np.int32] = np.array([*numbers, -1], np.int32)[pc.fill_null(encoded.indices, -1).to_numpy()]
        return codes

    def ranks(self) -> NDArray[np.int64]:
        """By number the rank of its string; that of -1, which comes last, is -1."""
        ranks = np.full(len(self.number) + 1, -1)
        ranks[[self.number[text] for text in sorted(self.number)]] = np.arange(len(self.number))
        return ranks


@dataclass(frozen=True, slots=True)
class Finished:
    """The last row that the table `shards` has of each file of a listing; (files,) each.

    there:      the table has a row of the file
    unchanged:  the file has the size and the tag with which it was read
    settled:    it was read as far as its content lets it be: it did not fail by chance
    broken:     it could not be read to its end
    found:      documents found in it
    duplicates:   documents in it that the tables had from an earlier file; 0 if the rows lack that column
    signature:  the number, in `signatures`, of the signature with which it was read; -1 if it is to be read in any case
    signatures: numbers by signature
    details:    by place, why a file is broken
    """

    there: NDArray[np.bool_]
    unchanged: NDArray[np.bool_]
    settled: NDArray[np.bool_]
    broken: NDArray[np.bool_]
    found: NDArray[np.int64]
    duplicates: NDArray[np.int32]
    signature: NDArray[np.int32]
    signatures: dict[str, int]
    details: dict[int, str]

    @classmethod
    def of(cls, listing: Listing, rows: Iterable[pa.RecordBatch]) -> "Finished":
        """The same by rows of the table in any order, with columns of `columns_needed`; run ids begin with the time."""
        files = len(listing)
        self = cls(
            there=np.zeros(files, np.bool_),
            unchanged=np.zeros(files, np.bool_),
            settled=np.zeros(files, np.bool_),
            broken=np.zeros(files, np.bool_),
            found=np.zeros(files, np.int64),
            duplicates=np.zeros(files, np.int32),
            signature=np.full(files, -1, np.int32),
            signatures={},
            details={},
        )
        signatures, runs = _Codes(), _Codes()
        latest = np.full(files, -1, np.int32)
        for batch in rows:
            run = runs.of(pc.fill_null(batch["run_id"], ""))
            place = listing.index.find(batch["shard"])
            rank = runs.ranks()
            order = np.argsort(rank[run], kind="stable")  # of several rows of a file the last one stays
            order = order[(place[order] >= 0) & (rank[latest[place[order]]] <= rank[run[order]])]
            latest[place[order]] = run[order]
            self._enter(listing, place[order], batch.take(pa.array(order)), signatures)
        self.signatures.update(signatures.number)
        return self

    def _enter(self, listing: Listing, place: NDArray[np.int64], rows: pa.RecordBatch, signatures: _Codes) -> None:
        """Put rows at their places."""
        files = listing.files.select(["size", "tag"]).take(pa.array(place))
        same = pc.and_(
            pc.equal(files["size"], rows["size"]), pc.equal(files["tag"], rows["tag"].cast(pa.large_string()))
        )
        self.there[place] = True
        self.unchanged[place] = pc.fill_null(same, False).to_numpy()
        self.settled[place] = pc.invert(pc.is_in(rows["reason"], pa.array(TRANSIENT_REASONS))).to_numpy(
            zero_copy_only=False
        )
        broken = pc.is_valid(rows["reason"])
        self.broken[place] = broken.to_numpy(zero_copy_only=False)
        self.found[place] = pc.fill_null(rows["found"], 0).to_numpy()
        self.signature[place] = signatures.of(rows["signature"])
        if "duplicates" in rows.schema.names:
            self.duplicates[place] = pc.fill_null(pc.list_value_length(rows["duplicates"]), 0).to_numpy()
        why = rows.select(["reason", "detail"]).filter(broken).to_pylist()
        for at, row in zip(place[broken.to_numpy(zero_copy_only=False)].tolist(), why, strict=True):
            self.details[at] = f"{row['reason']}: {row['detail']}"

    def any_changed(self) -> bool:
        """True if any file has changed since it was read, so that it must be read whatever the model."""
        return not (self.unchanged & self.settled).all()

    def known(self, signature: str) -> NDArray[np.bool_]:
        """True for files that would become what they have become, (files,): they need not be read."""
        as_now: NDArray[np.bool_] = self.signature == self.signatures.get(signature, -2)
        return self.unchanged & self.settled & as_now


def columns_needed(with_duplicates: bool) -> pa.Schema:
    """The columns of the table `shards` that `Finished.of` needs, also for `duplicates` or without."""
    return pa.schema([SHARDS.field(name) for name in (*_COLUMNS, *["duplicates"] * with_duplicates)])


def read_finished(tables: "Tables", listing: Listing, with_duplicates: bool) -> Finished:
    """The rows of the table `shards` for the files of a listing."""
    columns = columns_needed(with_duplicates)
    return tables.shards.with_retries(lambda: Finished.of(listing, tables.shards.iter_batches(columns, BATCH)))


OF_OTHERS = pa.schema([SHARDS.field(name) for name in ("shard", "size", "tag", "run_id", "named", "duplicates")])
"""Columns of the table `shards` that a run needs which reads anything, also of other files."""


def read_needed(tables: "Tables", listing: Listing, to_read: NDArray[np.bool_]) -> pa.Table:
    """The rows that `needed` finds in the table `shards`, one row per shard."""
    from craft_ray.tables.writer import latest_per_shard  # with deltalake, which read tasks do without

    def stream() -> Iterable[pa.RecordBatch]:
        return tables.shards.iter_batches(OF_OTHERS, BATCH)

    return latest_per_shard(tables.shards.with_retries(lambda: needed(stream, listing, to_read)))


def needed(stream: Callable[[], Iterable[pa.RecordBatch]], listing: Listing, to_read: NDArray[np.bool_]) -> pa.Table:
    """The rows of the table `shards` that a run needs which reads some files: of millions a few.

    Some have documents that their shard gave once more, others a name that one of the files has or may get. All rows of
    such a shard come, since the last one counts.

    stream:  gives the rows, columns of OF_OTHERS, as often as it is called
    to_read: marks the files that are read; (files,)
    """
    paths = NameIndex(listing.shards(np.flatnonzero(to_read)).paths.chunk(0))
    wanted, held = [], []
    for rows in stream():
        place = listing.index.find(rows["shard"])
        is_read = (place >= 0) & to_read[place]
        duplicates = pc.fill_null(pc.list_value_length(rows["duplicates"]), 0).to_numpy() > 0
        named = _named(rows)
        wanted.append(_where(duplicates | (paths.find(named) >= 0), rows["shard"]))
        held.append(_where(is_read, named))
    if any(map(len, held)):
        names = NameIndex(pa.concat_arrays(held))
        wanted += [_where(names.find(_named(rows)) >= 0, rows["shard"]) for rows in stream()]
    if not any(map(len, wanted)):
        return OF_OTHERS.empty_table()
    shards = NameIndex(pa.concat_arrays(wanted))
    kept = [rows.filter(pa.array(shards.find(rows["shard"]) >= 0)) for rows in stream()]
    return pa.Table.from_batches(kept, OF_OTHERS)


def _named(rows: pa.RecordBatch) -> pa.Array:
    """The names of documents without an id; older rows have none, and are named by their addresses."""
    return pc.coalesce(rows["named"], rows["shard"])


def _where(needed: NDArray[np.bool_], names: pa.Array) -> pa.LargeStringArray:
    return names.filter(pa.array(needed)).cast(pa.large_string())
