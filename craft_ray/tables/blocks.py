"""A block of rows as Parquet files that no table refers to yet."""

import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from craft_ray.core.schema import LABEL
from craft_ray.storage.addresses import join
from craft_ray.tables.identity import refuse_collisions
from craft_ray.tables.ledger import ENTRY

if TYPE_CHECKING:
    from craft_ray.storage.storage import Storage

RETRACTED = "retracted"
"""Status of a row that only removes the row with its id: the mark of a shard that has become readable."""


DUPLICATE = "duplicate"
"""Status of a row that only says that a shard gives once more what the tables hold: no text, no tokens, no file."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A Parquet file below a table's folder.

    partition: what its path and not its columns tell, by column; empty in `documents`
    """

    path: str
    size: int
    rows: int
    first_id: str | None
    last_id: str | None
    partition: Mapping[str, str | int | None] = field(default_factory=dict)

    def may_hold(self, first_id: str, last_id: str) -> bool:
        """True if the file may have documents with ids between two."""
        return self.first_id is None or self.last_id is None or (self.first_id <= last_id and first_id <= self.last_id)


@dataclass(frozen=True, slots=True)
class WrittenBlock:
    """A written block as the driver needs it: files to commit, and documents as columns in the file's order."""

    block_id: str
    documents: list[DataFile]
    entities: list[DataFile]
    entries: NDArray[np.void]
    shard_number: NDArray[np.int32]
    status: list[str]
    reason: list[str | None]
    tokens: int
    shard_accounts: list[dict[str, Any]]
    failure: str | None = None
    """Why the run must end."""
    duplicates: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, ENTRY))
    """Entries of the rows that are DUPLICATE; their revisions name their shards."""
    superseded: dict[int, int] = field(default_factory=dict)
    """Rows of each shard that were dropped for a better revision in the same block."""
    with_id: Counter[str] = field(default_factory=Counter)
    """Entities that have a concept, by label."""
    precisions: Counter[str] = field(default_factory=Counter)
    """Documents by the number format of their answers."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Mentions that are in no file, for their score or since no concept fits them, by label."""
    positions: dict[tuple[int, int], int] = field(default_factory=dict)
    """By shard and part, bytes of its file that had been read when the block was made."""

    @property
    def labels(self) -> Counter[str]:
        """Entities by label."""
        counts: Counter[str] = Counter()
        for file in self.entities:
            counts[str(file.partition[LABEL])] += file.rows
        return counts


def best(table: NDArray[np.void]) -> NDArray[np.int64]:
    """Of entries with one id, where the one that counts is: a deletion, else the highest revision, else the last.

    Raises RunError if entries with one id are of several documents.
    """
    order = np.lexsort((np.arange(len(table)), table["revision"], table["deleted"], table["id"]))
    last = np.ones(len(order), np.bool_)
    last[:-1] = table["id"][order[1:]] != table["id"][order[:-1]]
    replaced = np.flatnonzero(~last)
    refuse_collisions(table["key"][order[replaced]], table["key"][order[replaced + 1]])
    positions: NDArray[np.int64] = np.sort(order[last])
    return positions


def partitions(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """The parts of a table that have equal values in some columns, and these values."""
    for values in (
        table.group_by(list(columns)).aggregate([]).sort_by([(name, "ascending") for name in columns]).to_pylist()
    ):
        mine = [
            pc.is_null(table[name]) if value is None else pc.fill_null(pc.equal(table[name], value), False)
            for name, value in values.items()
        ]
        yield values, table.filter(reduce(pc.and_, mine))


def write_file(
    table: pa.Table, storage: "Storage", folder: str, run_id: str, partition: Mapping[str, Any] | None = None
) -> DataFile:
    """Write one Parquet file; its name tells the run, and is one that no other try of this task takes."""
    partition = partition or {}
    directory = partition_folder(partition)
    table = table.drop_columns(list(partition))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    path = f"{directory}{run_id}-{uuid.uuid4().hex}.parquet"
    storage.write_bytes(join(folder, path), content)
    bounds = pc.min_max(table["doc_id"]).as_py() if "doc_id" in table.column_names else {"min": None, "max": None}
    return DataFile(path, len(content), table.num_rows, bounds["min"], bounds["max"], partition)


def partition_folder(partition: Mapping[str, Any]) -> str:
    """The folder of a partition below its table, with a slash at its end; empty without a partition."""
    return "".join(f"{name}={_in_path(value)}/" for name, value in partition.items())


def _in_path(value: str | int | None) -> str:
    """A partition's value as Hive spells it.

    Labels of other checkpoints may hold what paths do not; Delta reads the partition from its log.
    """
    return "__HIVE_DEFAULT_PARTITION__" if value is None else re.sub("[^A-Za-z0-9_.-]", "_", str(value))
