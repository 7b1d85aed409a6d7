"""The content of `documents` when a run begins, read in a stream into a ledger of 25 bytes per document."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.schema import DOCUMENTS
from craft_ray.storage.shards import Shards, ranks
from craft_ray.tables import identity
from craft_ray.tables.delta import NumberedTable
from craft_ray.tables.ledger import ENTRY, Ledger, Part

_BATCH = 1 << 14
"""Rows that are in memory as strings."""

_SHARDS = 16
"""Shards whose repeated documents are looked up at once; after a new baseline of PubMed each has 30,000."""

_COLUMNS = pa.schema([DOCUMENTS.field(name) for name in ("doc_id", "version", "key", "shard", "status")])

_SHARD = 0xFFFFFFFF
"""The bits of a revision that name the shard."""

_GONE = -1 << 32
"""The revision of what the tables have from a file that is gone: older than all, and from before the first shard."""


@dataclass(frozen=True, slots=True)
class Known:
    """The content of `documents` when a run begins.

    numbers:  of the shards to read, by rank among all shards known, from 1; (shards,)
    rejected: by shard's name, the rejected rows that are named by their place in it, for want of an id
    """

    ledger: Ledger
    numbers: NDArray[np.int64]
    rejected: dict[str, list[str]]

    @classmethod
    def nothing(cls) -> "Known":
        """The same for a run that reads no shard."""
        return cls(Ledger.of(np.zeros(0, ENTRY)), np.zeros(0, np.int64), {})


def read_known(
    documents: NumberedTable, shards: Shards, finished_shards: pa.Table, gone: Collection[str] = ()
) -> Known:
    """The content of `documents`, as a run that reads some shards needs it.

    finished_shards: the content of the table `shards`
    gone:            shards that are not to count: whatever others have of their documents takes their place
    """
    rejected: dict[str, list[str]] = {}
    code: dict[str, int] = {}
    part = documents.with_retries(lambda: _columns(documents, shards, code, rejected))
    pa.default_memory_pool().release_unused()  # what held the rows as strings, before they are sorted
    repeating = finished_shards.filter(pc.greater(pc.list_value_length(finished_shards["duplicates"]), 0))
    repeating = repeating.filter(pc.invert(pc.is_in(repeating["shard"], pa.array(gone, pa.string()))))
    others = [pa.array([*code], pa.large_string()), *repeating["shard"].cast(pa.large_string()).chunks]
    numbers = ranks(pa.chunked_array([*shards.names.chunks, *filter(len, others)], pa.large_string()))
    of_shards, of_codes, of_repeating = np.split(numbers, [len(shards), len(shards) + len(code)])
    is_gone = np.array([name in gone for name in code], np.bool_)
    _renumber(part, np.where(is_gone, _GONE, of_codes))
    ledger = Ledger([part.in_order()])
    for at in range(0, len(repeating), _SHARDS):
        ids = repeating["duplicates"].slice(at, _SHARDS)
        numbers = np.repeat(of_repeating[at : at + _SHARDS], pc.list_value_length(ids).to_numpy())
        ledger.record_duplicates(pc.list_flatten(ids).to_numpy(), numbers)
    return Known(ledger, of_shards.copy(), rejected)


def _columns(documents: NumberedTable, shards: Shards, code: dict[str, int], rejected: dict[str, list[str]]) -> Part:
    """The rows of `documents` as unsorted columns; their revisions name shards by `code`, in the order of their coming.

    Ranks are known only when all shards are. `rejected` as in `Known`.
    """
    code.clear()
    rejected.clear()
    rows = documents.count()
    part = Part(np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.int8))
    at = 0
    names: set[str] = set()
    for batch in documents.iter_batches(_COLUMNS, _BATCH):
        _enter(part, slice(at, at + batch.num_rows), batch, code)
        at += batch.num_rows
        for row in batch.filter(pc.equal(batch["status"], "rejected")).select(["doc_id", "shard"]).to_pylist():
            names = names or {shard.named or shard.name for shard in shards}
            if (name := _place(row["doc_id"], row["shard"], names)) is not None:
                rejected.setdefault(name, []).append(row["doc_id"])
    return part


def _place(doc_id: str, shard: str, names: Collection[str]) -> str | None:
    """The shard's name among some by whose place in it a rejected row is named; None if it has an id of its own."""
    ends = [len(doc_id), *(at for at, character in enumerate(doc_id) if character in "#!")]
    file = shard.rpartition("/")[2]
    found = (doc_id[:end] for end in ends if doc_id[:end] in names)
    return next((name for name in found if name.rpartition("/")[2] == file), None)


def _enter(part: Part, place: slice, batch: pa.RecordBatch, code: dict[str, int]) -> None:
    """Put rows of `documents` into the columns of a part; their revisions name shards by code."""
    shards = batch["shard"].dictionary_encode()
    codes = np.array([code.setdefault(shard, len(code)) for shard in shards.dictionary.to_pylist()], np.int64)
    rejected, deleted = (
        pc.equal(batch["status"], status).to_numpy(zero_copy_only=False) for status in ("rejected", "deleted")
    )
    part.id[place] = identity.id_hashes(batch["doc_id"].to_pylist())
    part.key[place] = batch["key"].to_numpy()
    part.revision[place] = identity.revisions(batch["version"].to_numpy(), codes[shards.indices.to_numpy()], rejected)
    part.flags[place] = deleted


def _renumber(part: Part, number: np.ndarray) -> None:
    """Replace the codes of shards by their numbers, a piece at a time; for shards that are gone there is no version."""
    for at in range(0, len(part), _BATCH):
        revision = part.revision[at : at + _BATCH]
        numbers = number[revision & _SHARD]
        revision[:] = np.where(numbers == _GONE, _GONE, revision & ~_SHARD | numbers)
