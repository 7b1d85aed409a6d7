"""The state of each listed file, by the last row that the table `shards` has of it, in columns beside the listing.

The listing is searched by bisection of its sorted names. DuckDB's hash join was as fast for two million files but took
a gigabyte, where this takes 20 MB.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.schema import MAX_FAILURES, SHARDS, TRANSIENT_REASONS
from craft_ray.storage.shards import Listing

_COLUMNS = ("shard", "size", "tag", "signature", "found", "reason", "detail", "run_id", "failures")


class _Codes:
    """Numbers for strings, in the order in which they come; -1 for null."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def encode(self, column: pa.Array) -> NDArray[np.int32]:
        """The number of each string, shape (rows,)."""
        encoded = column.dictionary_encode()
        numbers = [self.codes.setdefault(text, len(self.codes)) for text in encoded.dictionary.to_pylist()]
        codes: NDArray[np.int32] = np.array([*numbers, -1], np.int32)[pc.fill_null(encoded.indices, -1).to_numpy()]
        return codes

    def ranks(self) -> NDArray[np.int64]:
        """The rank of each number's string; index -1 has rank -1."""
        ranks = np.full(len(self.codes) + 1, -1)
        ranks[[self.codes[text] for text in sorted(self.codes)]] = np.arange(len(self.codes))
        return ranks


@dataclass(frozen=True, slots=True)
class FileStates:
    """The state of each file of a listing; shape (files,) each.

    read:       an earlier run has read the file
    unchanged:  its size and tag are those with which it was read
    permanent:  reading it ended as its content requires, or too often with an error that may pass
    failures:   runs in a row that failed to read it as it is
    broken:     it could not be read to its end
    found:      documents found in it
    duplicates: documents in it that the tables had from an earlier file, if that was asked for
    signature:  code of the signature with which it was read, -1 if it must be read again
    signatures: codes by signature
    details:    why a file is broken, by index
    """

    read: NDArray[np.bool_]
    unchanged: NDArray[np.bool_]
    permanent: NDArray[np.bool_]
    failures: NDArray[np.int32]
    broken: NDArray[np.bool_]
    found: NDArray[np.int64]
    duplicates: NDArray[np.int32]
    signature: NDArray[np.int32]
    signatures: dict[str, int]
    details: dict[int, str]

    @classmethod
    def of(cls, listing: Listing, rows: Iterable[pa.RecordBatch]) -> "FileStates":
        """Build the states from rows of `shards` in any order, with the columns of `columns_needed`.

        Of several rows of a file that of the latest run counts; run ids sort by time.
        """
        files = len(listing)
        self = cls(
            read=np.zeros(files, np.bool_),
            unchanged=np.zeros(files, np.bool_),
            permanent=np.zeros(files, np.bool_),
            failures=np.zeros(files, np.int32),
            broken=np.zeros(files, np.bool_),
            found=np.zeros(files, np.int64),
            duplicates=np.zeros(files, np.int32),
            signature=np.full(files, -1, np.int32),
            signatures={},
            details={},
        )
        signatures, runs = _Codes(), _Codes()
        latest_run = np.full(files, -1, np.int32)
        for batch in rows:
            run = runs.encode(pc.fill_null(batch["run_id"], ""))
            file = listing.index.find(batch["shard"])
            rank = runs.ranks()
            order = np.argsort(rank[run], kind="stable")
            order = order[(file[order] >= 0) & (rank[latest_run[file[order]]] <= rank[run[order]])]
            latest_run[file[order]] = run[order]
            self._set(listing, file[order], batch.take(pa.array(order)), signatures)
        self.signatures.update(signatures.codes)
        return self

    def _set(self, listing: Listing, file: NDArray[np.int64], rows: pa.RecordBatch, signatures: _Codes) -> None:
        listed = listing.files.select(["size", "tag"]).take(pa.array(file))
        same = pc.and_(
            pc.equal(listed["size"], rows["size"]), pc.equal(listed["tag"], rows["tag"].cast(pa.large_string()))
        )
        broken = pc.is_valid(rows["reason"]).to_numpy(zero_copy_only=False)
        transient = pc.is_in(rows["reason"], pa.array(TRANSIENT_REASONS)).to_numpy(zero_copy_only=False)
        self.read[file] = True
        self.unchanged[file] = pc.fill_null(same, False).to_numpy()
        self.failures[file] = np.where(self.unchanged[file], pc.fill_null(rows["failures"], 0).to_numpy(), 0)
        self.permanent[file] = ~transient | (self.failures[file] >= MAX_FAILURES)
        self.broken[file] = broken
        self.found[file] = pc.fill_null(rows["found"], 0).to_numpy()
        self.signature[file] = signatures.encode(rows["signature"])
        if "duplicates" in rows.schema.names:
            self.duplicates[file] = pc.fill_null(pc.list_value_length(rows["duplicates"]), 0).to_numpy()
        why = rows.select(["reason", "detail"]).filter(pa.array(broken)).to_pylist()
        for index, row in zip(file[broken].tolist(), why, strict=True):
            self.details[index] = f"{row['reason']}: {row['detail']}"

    def any_changed(self) -> bool:
        """True if some file must be read whatever the model and the settings."""
        return not (self.unchanged & self.permanent).all()

    def up_to_date(self, signature: str) -> NDArray[np.bool_]:
        """Mask of the files that need not be read: the result would be the same, shape (files,)."""
        same_signature: NDArray[np.bool_] = self.signature == self.signatures.get(signature, -2)
        return self.unchanged & self.permanent & same_signature


def columns_needed(with_duplicates: bool) -> pa.Schema:
    """The columns of `shards` that `FileStates.of` needs, with or without `duplicates`."""
    return pa.schema([SHARDS.field(name) for name in (*_COLUMNS, *["duplicates"] * with_duplicates)])
