"""The documents that the tables hold when a run begins, read in a stream into a ledger."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.schema import DOCUMENTS
from craft_ray.storage.shards import Shards, ranks
from craft_ray.tables import identity
from craft_ray.tables.identity import IdHasher
from craft_ray.tables.ledger import Ledger, Part

if TYPE_CHECKING:
    from craft_ray.tables.writer import Tables

BATCH = 1 << 14
"""Rows of a table that are in memory as strings."""

_SHARDS_PER_LOOKUP = 16
"""Shards whose duplicates are looked up together; after a new baseline of PubMed each has 30,000."""

_COLUMNS = pa.schema([DOCUMENTS.field(name) for name in ("doc_id", "version", "key", "shard", "status")])

_SHARD_MASK = 0xFFFFFFFF
"""The bits of a revision that hold the shard number."""

_VANISHED = -1 << 32
"""The revision of rows from a file that has vanished: older than any other, from before the first shard."""


@dataclass(frozen=True, slots=True)
class Existing:
    """The documents that the tables hold when a run begins.

    numbers:  ranks of the shards to read among all shards of the tables and the run, from 1; shape (shards,)
    rejected: by the name of a shard, ids of rejected rows that are named by their position in it
    """

    ledger: Ledger = field(default_factory=Ledger)
    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    rejected: dict[str, list[str]] = field(default_factory=dict)


def read_existing(tables: "Tables", shards: Shards, finished: pa.Table, vanished: Collection[str] = ()) -> Existing:
    """Read the table `documents` as a run needs it that reads some shards.

    finished: rows of `shards`, one per shard, with `duplicates`
    vanished: files whose documents give way to whatever other files have of them
    """
    rejected: dict[str, list[str]] = {}
    codes: dict[str, int] = {}
    part = tables.documents.with_retries(lambda: _read_columns(tables, shards, codes, rejected))
    pa.default_memory_pool().release_unused()  # the strings, before the columns are sorted
    with_duplicates = finished.filter(pc.greater(pc.list_value_length(finished["duplicates"]), 0))
    with_duplicates = with_duplicates.filter(
        pc.invert(pc.is_in(with_duplicates["shard"], pa.array(vanished, pa.string())))
    )
    others = [pa.array([*codes], pa.large_string()), *with_duplicates["shard"].cast(pa.large_string()).chunks]
    numbers = ranks(pa.chunked_array([*shards.names.chunks, *filter(len, others)], pa.large_string()))
    to_read, by_code, of_duplicates = np.split(numbers, [len(shards), len(shards) + len(codes)])
    has_vanished = np.array([name in vanished for name in codes], np.bool_)
    _replace_codes(part, np.where(has_vanished, _VANISHED, by_code))
    ledger = Ledger([part.sort()])
    for start in range(0, len(with_duplicates), _SHARDS_PER_LOOKUP):
        duplicates = with_duplicates["duplicates"].slice(start, _SHARDS_PER_LOOKUP)
        numbers = np.repeat(
            of_duplicates[start : start + _SHARDS_PER_LOOKUP], pc.list_value_length(duplicates).to_numpy()
        )
        ledger.record_duplicates(pc.list_flatten(duplicates).to_numpy(), numbers)
    return Existing(ledger, to_read.copy(), rejected)


def _read_columns(tables: "Tables", shards: Shards, codes: dict[str, int], rejected: dict[str, list[str]]) -> Part:
    """The rows of `documents` as unsorted columns, whose revisions hold codes in place of shard numbers.

    Shard numbers are ranks, and known only when all shards are. Fills `codes` by shard, and `rejected` as in Existing.
    """
    codes.clear()
    rejected.clear()
    rows = tables.documents.count()
    part = Part(np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int8))
    start = 0
    names: set[str] = set()
    for batch in tables.documents.iter_batches(_COLUMNS, BATCH):
        _fill(part, slice(start, start + batch.num_rows), batch, tables.ids, codes)
        start += batch.num_rows
        for row in batch.filter(pc.equal(batch["status"], "rejected")).select(["doc_id", "shard"]).to_pylist():
            names = names or {shard.named or shard.name for shard in shards}
            if (name := _name_in_id(row["doc_id"], row["shard"], names)) is not None:
                rejected.setdefault(name, []).append(row["doc_id"])
    return part


def _name_in_id(doc_id: str, shard: str, names: Collection[str]) -> str | None:
    """The shard's name that a rejected row's id begins with; None if the row has an id of its own."""
    ends = [len(doc_id), *(end for end, character in enumerate(doc_id) if character in "#!")]
    file = shard.rpartition("/")[2]
    found = (doc_id[:end] for end in ends if doc_id[:end] in names)
    return next((name for name in found if name.rpartition("/")[2] == file), None)


def _fill(part: Part, rows: slice, batch: pa.RecordBatch, ids: IdHasher, codes: dict[str, int]) -> None:
    """Fill rows of a part from a batch of `documents`."""
    shards = batch["shard"].dictionary_encode()
    code = np.array([codes.setdefault(shard, len(codes)) for shard in shards.dictionary.to_pylist()], np.int64)
    rejected, deleted = (
        pc.equal(batch["status"], status).to_numpy(zero_copy_only=False) for status in ("rejected", "deleted")
    )
    part.id[rows] = ids.hashes(batch["doc_id"].to_pylist())
    part.key[rows] = batch["key"].to_numpy()
    part.revision[rows] = identity.revisions(batch["version"].to_numpy(), code[shards.indices.to_numpy()], rejected)
    part.flags[rows] = deleted


def _replace_codes(part: Part, numbers: NDArray[np.int64]) -> None:
    """Replace the codes in revisions by shard numbers, in slices to save memory."""
    for start in range(0, len(part), BATCH):
        revision = part.revision[start : start + BATCH]
        number = numbers[revision & _SHARD_MASK]
        revision[:] = np.where(number == _VANISHED, _VANISHED, revision & ~_SHARD_MASK | number)
