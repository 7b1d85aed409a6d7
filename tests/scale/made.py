"""Stages of a run whose results were made beforehand, so that nothing but the driver has work to do."""

import json
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.annotation.counts import ShardAccount
from craft_ray.annotation.rows import PREDICTIONS, SHARD_END
from craft_ray.annotation.write import WriteTask
from craft_ray.core.labels import LABELS
from craft_ray.model.tokens import TOKEN_COLUMNS
from craft_ray.storage.shards import unpack_shards
from craft_ray.tables import identity
from craft_ray.tables.blocks import DataFile, WrittenBlock, partition_folder
from craft_ray.tables.ledger import entries

SECONDS_PER_MB = "CRAFT_RAY_TEST_SECONDS_PER_MB"
"""Variable of the nodes, for `Waiting`."""


@lru_cache
def documents(path: str) -> tuple[pa.Table, pa.Table]:
    """The documents of any shard, as a file of Arrow holds them, and the row that closes it."""
    table = pa.ipc.open_file(pa.memory_map(path)).read_all()
    return table[:-1], table[-1:]


def read(batch: pa.Table, path: str, **_: object) -> Iterator[pa.Table]:
    """`prepare_shards` of shards that all hold the same documents under ids of their own."""
    rows, end = documents(path)
    for shard in (shard for packed in batch["shards"].to_pylist() for shard in unpack_shards(packed)):
        account = asdict(ShardAccount.of(shard)) | {"found": len(rows), "emitted": len(rows)}
        ids = shard.number * len(rows) + np.arange(len(rows))
        yield with_columns(rows, id_hash=ids, key=ids, shard_number=np.full(len(rows), shard.number, np.int32))
        yield with_columns(end, detail=[json.dumps(account)], shard_number=np.array([shard.number], np.int32))


def with_columns(rows: pa.Table, **columns: Any) -> pa.Table:
    """The rows with other values in some columns, cast to the types of these."""
    for name, values in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values).cast(field.type))
    return rows


class Waiting:
    """A replica that waits for each MB as for a GPU, and predicts nothing."""

    def __init__(self, **_: object) -> None:
        self._seconds_per_mb = float(os.environ[SECONDS_PER_MB])

    def __call__(self, block: pa.Table) -> pa.Table:
        time.sleep(block.nbytes / (1 << 20) * self._seconds_per_mb)
        for name, kind in PREDICTIONS.items():
            values = [[] if pa.types.is_list(kind) else None] * len(block)
            block = block.append_column(name, pa.array(values, kind))
        return block.drop_columns(list(TOKEN_COLUMNS))


def write(block: pa.Table, task: WriteTask) -> pa.Table:
    """`write_blocks`, of empty files, with mentions of all labels."""
    ends = block.filter(pc.equal(block["status"], SHARD_END))["detail"].to_pylist()
    block = block.filter(pc.not_equal(block["status"], SHARD_END))
    rows, numbers = len(block), block["shard_number"].to_numpy()
    none = np.zeros(rows, np.bool_)
    revisions = identity.revisions(np.ones(rows, np.int64), numbers, none)
    written = WrittenBlock(
        block_id=uuid4().hex,
        documents=[_empty_file(task.output, "documents", rows)] if rows else [],
        entities=[_empty_file(task.output, "entities", 3 * rows, label=label.name) for label in LABELS if rows],
        entries=entries(block["id_hash"].to_numpy(), block["key"].to_numpy(), revisions, none),
        shard_number=numbers,
        status=block["status"].to_pylist(),
        reason=block["reason"].to_pylist(),
        tokens=int(pc.sum(block["n_tokens"]).as_py() or 0),
        shard_accounts=[json.loads(end) for end in ends],
    )
    return pa.table({"written": pa.array([pickle.dumps(written)], pa.binary())})


def _empty_file(output: str, table: str, rows: int, **partition: str) -> DataFile:
    path = f"{partition_folder(partition)}{uuid4().hex}.parquet"
    file = Path(output, table, path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    return DataFile(path, 1 << 16, rows, "PMID:1", "PMID:9", partition)
