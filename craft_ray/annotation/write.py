"""Write tasks: a block of predicted rows becomes Parquet files that no table refers to yet.

Only the driver commits files (`commits.py`). What a repeated task or a dead run leaves behind is never committed, and
the next vacuum removes it.
"""

import hashlib
import json
import os
import pickle
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.annotation.dictionary import with_dictionary
from craft_ray.annotation.rows import FAILURE, SHARD_END
from craft_ray.concepts.grounding import Grounder
from craft_ray.core.errors import RunError
from craft_ray.core.schema import CONCEPT_COLUMNS, DOCUMENTS, ENTITIES, LABEL, YEAR, entities_schema
from craft_ray.model.decode import Decoder, decode
from craft_ray.storage.addresses import is_remote, join
from craft_ray.storage.failures import explain
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import DUPLICATE, RETRACTED, WrittenBlock, best, partitions, write_file
from craft_ray.tables.lease import FOLDER as LEASE_FOLDER
from craft_ray.tables.ledger import entries

if TYPE_CHECKING:
    import ray


@dataclass(frozen=True, slots=True)
class WriteTask:
    """What the write tasks of a run need.

    keep_text:    whether `documents` holds the text
    partition_by: the columns that `entities` is partitioned by
    grounder:     gives entities their concepts; without it they get none
    """

    storage: Storage
    output: str
    run_id: str
    decoder: Decoder
    keep_text: bool = True
    partition_by: Sequence[str] = (LABEL,)
    grounder: "Grounder | ray.ObjectRef[Grounder] | None" = None


def write_blocks(block: pa.Table, task: WriteTask) -> pa.Table:
    """Ray Data's write stage: write a block, and return one small row for the driver, a pickled WrittenBlock.

    If writing fails the row is a pickled message, since Ray Data would drop an exception with its block.
    """
    if block.num_rows == 0:
        return pa.table({"written": pa.array([], pa.binary())})
    try:
        _check_shared(task.output)
        written = pickle.dumps(write_block(block, task))
    except Exception as error:
        written = pickle.dumps(explain(error))
    return pa.table({"written": pa.array([written], pa.binary())})


def _check_shared(output: str) -> None:
    """Raise RunError if this node lacks the folder of the run's lease, since it would write to a disk of its own."""
    if not is_remote(output) and not os.path.isdir(join(output, LEASE_FOLDER)):
        raise RunError(
            f"the node {socket.gethostname()} does not reach the output {output}: give an s3:// address, or a path on "
            "a file system that all nodes share"
        )


def write_block(block: pa.Table, task: WriteTask) -> WrittenBlock:
    """Decode a block and write its files below OUT/documents and OUT/entities."""
    rows = {status: block.filter(pc.equal(block["status"], status)) for status in (SHARD_END, FAILURE, DUPLICATE)}
    positions = _positions(block)
    block, superseded = _newest_revisions(block.filter(pc.invert(pc.is_in(block["status"], pa.array([*rows])))))
    block_id = hashlib.blake2b(block["key"].combine_chunks().to_numpy().tobytes(), digest_size=16).hexdigest()
    entities, counts, left_out = _ground(*decode(block, task.decoder), block, task.grounder)
    documents = block.append_column("n_entities", pa.array(counts, pa.int32()))
    documents = _with_origin(documents, task.run_id, block_id).select(DOCUMENTS.names).cast(DOCUMENTS)
    if not task.keep_text:
        column = documents.schema.get_field_index("text")
        documents = documents.set_column(column, "text", pa.nulls(documents.num_rows, pa.string()))
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
        shard_accounts=[json.loads(account) for account in rows[SHARD_END]["detail"].to_pylist()],
        failure=next(iter(rows[FAILURE]["detail"].to_pylist()), None),
        duplicates=_entries(rows[DUPLICATE]),
        superseded=superseded,
        with_id=_count_labels(entities.filter(pc.is_valid(entities["concept_id"]))),
        left_out=left_out,
        precisions=Counter(block["computed_in"].drop_null().to_pylist()),
        positions=positions,
    )


def _positions(block: pa.Table) -> dict[tuple[int, int], int]:
    """Bytes read of each file, by shard number and part."""
    read = block.select(["shard_number", "part", "position"]).drop_null()
    rows = read.group_by(["shard_number", "part"]).aggregate([("position", "max")]).to_pylist()
    return {(row["shard_number"], row["part"]): row["position_max"] for row in rows}


def _newest_revisions(block: pa.Table) -> tuple[pa.Table, dict[int, int]]:
    """Keep the newest revision of each document, in the block's order; count the dropped rows by shard number."""
    kept = best(_entries(block))
    if len(kept) == block.num_rows:
        return block, {}
    dropped = np.delete(block["shard_number"].to_numpy(), kept)
    return block.take(pa.array(kept)), dict(Counter(dropped.tolist()))


def _ground(
    entities: pa.Table,
    counts: NDArray[np.int64],
    block: pa.Table,
    grounder: "Grounder | ray.ObjectRef[Grounder] | None",
) -> tuple[pa.Table, NDArray[np.int64], Counter[str]]:
    """Give entities their concepts; return them, the number per document, and the number left out by label."""
    if grounder is None:
        for name in CONCEPT_COLUMNS:
            entities = entities.append_column(name, pa.nulls(entities.num_rows, ENTITIES.field(name).type))
        return entities, counts, Counter()
    loaded = grounder if isinstance(grounder, Grounder) else _load_grounder(grounder)
    entities = with_dictionary(entities, block, loaded.dictionary)
    entities, left_out = loaded.ground(entities, block["text"].to_pylist())
    return entities, np.bincount(entities["row"].to_numpy(), minlength=block.num_rows), _count_labels(left_out)


@lru_cache(maxsize=1)
def _load_grounder(grounder: "ray.ObjectRef[Grounder]") -> Grounder:
    """The run's grounder, kept by this process with the answers that it caches; its arrays are in the object store."""
    import ray

    loaded: Grounder = ray.get(grounder)
    return loaded


def _with_origin(table: pa.Table, run_id: str, block_id: str) -> pa.Table:
    for name, value in (("run_id", run_id), ("block_id", block_id)):
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    return table


def _count_labels(entities: pa.Table) -> Counter[str]:
    return Counter({pair["values"]: pair["counts"] for pair in entities[LABEL].value_counts().to_pylist()})


def _entries(block: pa.Table) -> NDArray[np.void]:
    """The block's documents as ledger entries."""
    rejected, deleted, retracted = (
        pc.equal(block["status"], status).to_numpy() for status in ("rejected", "deleted", RETRACTED)
    )
    revisions = identity.revisions(block["version"].to_numpy(), block["shard_number"].to_numpy(), rejected)
    revisions[retracted] = np.iinfo(np.int64).max
    return entries(block["id_hash"].to_numpy(), block["key"].to_numpy(), revisions, deleted | retracted)
