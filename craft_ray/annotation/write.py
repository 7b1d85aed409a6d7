"""The last step on a worker: a block of annotated rows becomes Parquet files that no table refers to yet.

The driver alone commits them (`tables`). A task that Ray runs twice, or one that outlives its driver, leaves files that
count for nothing. The next closing vacuum removes them.
"""

import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.annotation.rows import FAILURE, SHARD_END
from craft_ray.concepts.grounding import Grounder
from craft_ray.core.schema import CONCEPT_COLUMNS, DOCUMENTS, ENTITIES, LABEL, YEAR, entities_schema
from craft_ray.model.decode import Decoder, decode
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import explain
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import DUPLICATE, RETRACTED, WrittenBlock, best, partitions, write_file
from craft_ray.tables.ledger import entries

if TYPE_CHECKING:
    import ray


@dataclass(frozen=True, slots=True)
class WriteTask:
    """The part of a run that its write tasks need: where files go, and how rows become entities and documents.

    keep_text:    whether `documents` holds the text
    partition_by: the columns that `entities` is partitioned by
    grounder:     gives entities their concepts; none are given without it
    """

    storage: Storage
    output: str
    run_id: str
    decoder: Decoder
    keep_text: bool = True
    partition_by: Sequence[str] = (LABEL,)
    grounder: "Grounder | ray.ObjectRef[Grounder] | None" = None


def write_block(block: pa.Table, task: WriteTask) -> WrittenBlock:
    """Decode a block and write its files below OUT/documents and OUT/entities."""
    positions = _positions(block)
    ends = pc.equal(block["status"], SHARD_END)
    shard_ends = [json.loads(detail) for detail in block.filter(ends)["detail"].to_pylist()]
    failures = block.filter(pc.equal(block["status"], FAILURE))["detail"].to_pylist()
    block = block.filter(pc.invert(pc.is_in(block["status"], pa.array([SHARD_END, FAILURE]))))
    repeats = pc.equal(block["status"], DUPLICATE)
    repeated, block = _entries(block.filter(repeats)), block.filter(pc.invert(repeats))
    block, superseded = _best_revisions(block)
    block_id = hashlib.blake2b(block["key"].combine_chunks().to_numpy().tobytes(), digest_size=16).hexdigest()
    entities, counts, left_out = _grounded(*decode(block, task.decoder), block, _at_hand(task.grounder))
    documents = block.append_column("n_entities", pa.array(counts, pa.int32()))
    documents = _with_origin(documents, task.run_id, block_id).select(DOCUMENTS.names).cast(DOCUMENTS)
    if not task.keep_text:
        documents = documents.set_column(
            documents.schema.get_field_index("text"), "text", pa.nulls(documents.num_rows, pa.string())
        )
    if YEAR in task.partition_by:
        entities = entities.append_column(YEAR, block[YEAR].take(entities["row"]))
    schema = entities_schema(task.partition_by)
    entities = _with_origin(entities, task.run_id, block_id).select(schema.names).cast(schema)
    folders = {name: join(task.output, name) for name in ("documents", "entities")}
    return WrittenBlock(
        block_id=block_id,
        documents=[write_file(documents, task.storage, folders["documents"], task.run_id)] if len(documents) else [],
        entities=[
            write_file(part, task.storage, folders["entities"], task.run_id, partition)
            for partition, part in partitions(entities, task.partition_by)
        ],
        entries=_entries(block),
        shard_number=block["shard_number"].to_numpy(),
        status=block["status"].to_pylist(),
        reason=block["reason"].to_pylist(),
        tokens=int(pc.sum(block["n_tokens"]).as_py() or 0),
        shard_ends=shard_ends,
        failure=failures[0] if failures else None,
        duplicates=repeated,
        superseded=superseded,
        with_id=_by_label(entities.filter(pc.is_valid(entities["concept_id"]))),
        left_out=left_out,
        precisions=Counter(block["computed_in"].drop_null().to_pylist()),
        positions=positions,
    )


def _positions(block: pa.Table) -> dict[tuple[int, int], int]:
    """By shard and part, how many bytes of its file had been read."""
    read = block.select(["shard_number", "part", "position"]).drop_null()
    rows = read.group_by(["shard_number", "part"]).aggregate([("position", "max")]).to_pylist()
    return {(row["shard_number"], row["part"]): row["position_max"] for row in rows}


def _at_hand(grounder: "Grounder | ray.ObjectRef[Grounder] | None") -> Grounder | None:
    """The grounder itself; its arrays are views into the node's object store."""
    return grounder if grounder is None or isinstance(grounder, Grounder) else _held(grounder)


@lru_cache(maxsize=1)
def _held(grounder: "ray.ObjectRef[Grounder]") -> Grounder:
    """The run's grounder, which remembers from block to block what this process has asked it."""
    import ray

    held: Grounder = ray.get(grounder)
    return held


def _grounded(
    entities: pa.Table, counts: NDArray[np.int64], block: pa.Table, grounder: "Grounder | None"
) -> tuple[pa.Table, NDArray[np.int64], Counter[str]]:
    """Entities with their concepts, how many each document has left, and by label how many were left out."""
    if grounder is None:
        for name in CONCEPT_COLUMNS:
            entities = entities.append_column(name, pa.nulls(entities.num_rows, ENTITIES.field(name).type))
        return entities, counts, Counter()
    entities, left_out = grounder.ground(entities, block["text"].to_pylist())
    return entities, np.bincount(entities["row"].to_numpy(), minlength=block.num_rows), _by_label(left_out)


def _with_origin(table: pa.Table, run_id: str, block_id: str) -> pa.Table:
    for name, value in (("run_id", run_id), ("block_id", block_id)):
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table


def _by_label(entities: pa.Table) -> Counter[str]:
    """How many entities each label has."""
    return Counter({pair["values"]: pair["counts"] for pair in entities[LABEL].value_counts().to_pylist()})


def _entries(block: pa.Table) -> NDArray[np.void]:
    """The block's documents as the ledger keeps them."""
    rejected, deleted, retracted = (
        pc.equal(block["status"], status).to_numpy() for status in ("rejected", "deleted", RETRACTED)
    )
    revisions = identity.revisions(block["version"].to_numpy(), block["shard_number"].to_numpy(), rejected)
    revisions[retracted] = np.iinfo(np.int64).max
    return entries(block["id_hash"].to_numpy(), block["key"].to_numpy(), revisions, deleted | retracted)


def _best_revisions(block: pa.Table) -> tuple[pa.Table, dict[int, int]]:
    """The block with one row per id, the one that counts, in the old order; and rows dropped by shard number."""
    table = _entries(block)
    kept = best(table)
    dropped = np.setdiff1d(np.arange(block.num_rows), kept)
    shards = Counter(block["shard_number"].to_numpy()[dropped].tolist())
    return (block.take(pa.array(kept)) if len(dropped) else block), dict(shards)


def write_blocks(block: pa.Table, task: WriteTask) -> pa.Table:
    """Write task: one block to files; gives one small row for the driver."""
    if block.num_rows == 0:
        return pa.table({"written": pa.array([], pa.binary())})
    try:
        told = pickle.dumps(write_block(block, task))
    except Exception as error:  # Ray Data would drop it with its block
        told = pickle.dumps(explain(error))
    return pa.table({"written": pa.array([told], pa.binary())})
