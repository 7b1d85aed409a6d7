"""The last step on a worker: a block of annotated rows becomes Parquet files that no table refers to yet.

The driver alone commits them (`tables`). So a task that Ray runs twice, or one that outlives its driver, leaves files
that count for nothing and that the next closing vacuum removes.
"""

import hashlib
import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from craft_ray import identity
from craft_ray.decode import Decoder, decode
from craft_ray.ledger import entries
from craft_ray.schema import DOCUMENTS, FAILURE, LABEL, RETRACTED, SHARD_END, YEAR, entities_schema
from craft_ray.storage import Storage, join


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A Parquet file below a table's folder.

    partition: what its path and not its columns tell, by column; empty in `documents`
    """

    path: str
    size: int
    rows: int
    first_id: str
    last_id: str
    partition: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StagedBlock:
    """What the driver hears of a block: files to commit, and its documents as columns in the file's order."""

    block_id: str
    documents: list[StagedFile]
    entities: list[StagedFile]
    entries: NDArray[np.void]
    shard_number: NDArray[np.int32]
    status: list[str]
    reason: list[str | None]
    tokens: int
    shard_ends: list[dict[str, Any]]
    failure: str | None = None
    """Why the run must end."""
    superseded: dict[int, int] = field(default_factory=dict)
    """Rows of each shard that were dropped for a better revision in the same block."""

    @property
    def labels(self) -> Counter[str]:
        """Entities by label."""
        counts: Counter[str] = Counter()
        for file in self.entities:
            counts[str(file.partition[LABEL])] += file.rows
        return counts


def stage(
    block: pa.Table,
    storage: Storage,
    output: str,
    run_id: str,
    decoder: Decoder,
    keep_text: bool,
    partition_by: Sequence[str] = (LABEL,),
) -> StagedBlock:
    """Decode a block and write its files below OUT/documents and OUT/entities.

    partition_by: the columns that `entities` is partitioned by
    """
    ends = pc.equal(block["status"], SHARD_END)
    shard_ends = [json.loads(detail) for detail in block.filter(ends)["detail"].to_pylist()]
    failures = block.filter(pc.equal(block["status"], FAILURE))["detail"].to_pylist()
    block = block.filter(pc.invert(pc.is_in(block["status"], pa.array([SHARD_END, FAILURE]))))
    block, superseded = _best_revisions(block)
    block_id = hashlib.blake2b(block["key"].combine_chunks().to_numpy().tobytes(), digest_size=16).hexdigest()
    entities, counts = decode(block, decoder)
    documents = block.append_column("n_entities", pa.array(counts, pa.int32()))
    documents = _with_origin(documents, run_id, block_id).select(DOCUMENTS.names).cast(DOCUMENTS)
    if not keep_text:
        documents = documents.set_column(
            documents.schema.get_field_index("text"), "text", pa.nulls(documents.num_rows, pa.string())
        )
    if YEAR in partition_by:
        entities = entities.append_column(YEAR, block[YEAR].take(entities["row"]))
    schema = entities_schema(partition_by)
    entities = _with_origin(entities, run_id, block_id).select(schema.names).cast(schema)
    return StagedBlock(
        block_id=block_id,
        documents=[_write(documents, storage, join(output, "documents"))] if documents.num_rows else [],
        entities=[
            _write(part, storage, join(output, "entities"), partition)
            for partition, part in partitions(entities, partition_by)
        ],
        entries=_entries(block),
        shard_number=block["shard_number"].to_numpy(),
        status=block["status"].to_pylist(),
        reason=block["reason"].to_pylist(),
        tokens=int(pc.sum(block["n_tokens"]).as_py() or 0),
        shard_ends=shard_ends,
        failure=failures[0] if failures else None,
        superseded=superseded,
    )


def _with_origin(table: pa.Table, run_id: str, block_id: str) -> pa.Table:
    for name, value in (("run_id", run_id), ("block_id", block_id)):
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table


def _entries(block: pa.Table) -> NDArray[np.void]:
    """The block's documents as the ledger keeps them."""
    rejected, deleted, retracted = (
        pc.equal(block["status"], status).to_numpy() for status in ("rejected", "deleted", RETRACTED)
    )
    revisions = identity.revisions(block["version"].to_numpy(), block["shard_number"].to_numpy(), rejected)
    revisions[retracted] = np.iinfo(np.int64).max
    return entries(block["id_hash"].to_numpy(), block["key"].to_numpy(), revisions, deleted | retracted)


def _best_revisions(block: pa.Table) -> tuple[pa.Table, dict[int, int]]:
    """The block with one row an id, the one that counts, in the old order; and rows dropped by shard number."""
    table = _entries(block)
    kept = best(table)
    dropped = np.setdiff1d(np.arange(block.num_rows), kept)
    shards = Counter(block["shard_number"].to_numpy()[dropped].tolist())
    return (block.take(pa.array(kept)) if len(dropped) else block), dict(shards)


def best(table: NDArray[np.void]) -> NDArray[np.int64]:
    """Of entries with one id, where the one that counts is: a deletion, else the highest revision, else the last."""
    order = np.lexsort((np.arange(len(table)), table["revision"], table["deleted"], table["id"]))
    last = np.ones(len(order), np.bool_)
    last[:-1] = table["id"][order[1:]] != table["id"][order[:-1]]
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


def _write(table: pa.Table, storage: Storage, folder: str, partition: Mapping[str, Any] | None = None) -> StagedFile:
    """Write one Parquet file under a name that no other try of this task takes."""
    partition = partition or {}
    directory = "".join(f"{name}={_in_path(value)}/" for name, value in partition.items())
    table = table.drop_columns(list(partition))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    path = f"{directory}{time.strftime('%Y%m%d')}-{uuid.uuid4().hex}.parquet"
    storage.write_bytes(join(folder, path), content)
    bounds = pc.min_max(table["doc_id"]).as_py()
    return StagedFile(path, len(content), table.num_rows, bounds["min"], bounds["max"], partition)


def _in_path(value: str | int | None) -> str:
    """A partition's value as Hive spells it.

    Labels of other checkpoints may hold what paths do not; Delta reads the partition from its log.
    """
    return "__HIVE_DEFAULT_PARTITION__" if value is None else re.sub("[^A-Za-z0-9_.-]", "_", str(value))
