"""A run before it begins: which shards it would read and why, how the work would be laid out, how long it may take.

Nothing is written and Ray is not started.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.annotation.cluster_plan import Plan, make_plan
from craft_ray.annotation.finished import Finished, columns_needed
from craft_ray.annotation.plan import Attempt, group_shards, shard_signature
from craft_ray.annotation.prune import BATCH, ORIGIN, Vanished, find_vanished
from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document
from craft_ray.core.settings import Settings
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import find_model, load_checkpoint
from craft_ray.model.precision import check_choice
from craft_ray.model.tokens import TOKEN_COLUMNS, tokenize
from craft_ray.model.windows import Windower
from craft_ray.readers import ReadOptions, is_shard_name, read_options, read_shard
from craft_ray.storage.addresses import absolute
from craft_ray.storage.listing import list_shards
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.tables.snapshots import open_shards, open_snapshot, tables_exist

SAMPLED, DOCUMENTS = 5, 40
"""Shards that are looked into, spread evenly over those to read, and documents read of each."""

TOKENS = 4000
"""Tokens on which the model's speed is measured."""

LISTED = 50
"""Shards that a forecast names."""


class Why(IntEnum):
    """Why a run reads a file; KNOWN if it does not."""

    KNOWN = 0
    NEW = 1
    CHANGED = 2
    UNREADABLE = 3
    AGAIN = 4
    OTHERWISE = 5
    MAY_HOLD = 6


REASONS = (
    "known",
    "new",
    "changed",
    "unreadable before",
    "to be tried again",
    "read with another model, version or settings",
    "may hold what is gone from other files",
)
"""The same in words."""


def forecast(
    inputs: Sequence[str], output: str, settings: Settings, *, replica_speed: float | None, price: float | None
) -> dict[str, Any]:
    """The forecast of a run with these settings.

    replica_speed: tokens per second of one replica, for hardware that is not here; measured on this machine if None
    price:         of an hour of all hardware, in any currency

    Raises SettingsError for settings that are wrong and inputs that are not there.
    """
    options = read_options(settings)
    check_choice(settings.precision, settings.engine)
    find_model(settings.model)
    storage, output = Storage(settings.s3, settings.patience), absolute(output)
    listing = list_shards(storage, inputs, is_shard_name, output, complete=settings.prune)
    checkpoint = load_checkpoint(settings.model, storage.fetch)
    exist = tables_exist(storage, output)
    finished = Finished.of(listing, _noted(storage, output, settings.prune) if exist else ())
    why = reasons_to_read(finished, shard_signature(checkpoint, settings))
    vanished = Vanished()
    if exist and settings.prune:
        table = open_snapshot(storage, output).documents
        documents = table.stream(ORIGIN.names, pc.field("doc_id").is_valid(), ["doc_id"], BATCH)
        vanished = find_vanished(documents, listing, why != Why.KNOWN, finished)
        why[vanished.others] = Why.MAY_HOLD
    places = np.flatnonzero(why)
    to_read = listing.shards(places)
    plan = make_plan(settings, _hardware(settings))
    sample = _sample(storage, to_read, options, Windower.of(checkpoint))
    size = sum(shard.size for shard in to_read)
    tokens = round(sample.tokens / sample.bytes * size) if sample.bytes else 0
    if replica_speed is None and plan.device == "cpu":
        replica_speed = _speed(checkpoint, settings, plan, sample)
    seconds = tokens / (replica_speed * plan.replicas) if replica_speed else None
    return {
        "shards": {
            "found": len(listing),
            "to_read": len(to_read),
            "why": _counts(why[places]),
            "files_passed_over": len(listing.passed_over),
            **({"vanished": len(vanished.shards)} if settings.prune else {}),
        },
        "bytes_to_read": size,
        "documents_in_shards_known": int(finished.found.sum()),
        "documents_expected": round(sample.documents / sample.bytes * size) if sample.bytes else 0,
        "tokens_expected": tokens,
        "model": {"source": checkpoint.source, "fingerprint": checkpoint.fingerprint},
        "plan": asdict(plan) | {"read_tasks": sum(1 for _ in group_shards(to_read, plan, Attempt.FIRST))},
        "replica_tokens_per_second": replica_speed and round(replica_speed, 1),
        "seconds_expected": seconds and round(seconds, 1),
        "cost_expected": round(seconds / 3600 * price, 2) if seconds is not None and price is not None else None,
        "files": [
            {"shard": shard.name, "bytes": shard.size, "why": REASONS[why[place]]}
            for shard, place in zip(to_read[:LISTED], places[:LISTED], strict=True)
        ],
    }


def _noted(storage: Storage, output: str, with_duplicates: bool) -> Iterator[pa.RecordBatch]:
    """The rows of the table `shards`, a part at a time."""
    columns = columns_needed(with_duplicates)
    dataset = open_shards(storage, output)
    for batch in dataset.to_batches(columns.names, batch_size=BATCH, batch_readahead=1, fragment_readahead=1):
        yield batch.cast(columns)


def reasons_to_read(finished: Finished, signature: str) -> NDArray[np.int8]:
    """Why a run would read each file, (files,) of Why."""
    return np.select(
        [~finished.there, ~finished.unchanged, ~finished.settled, finished.signature < 0, ~finished.known(signature)],
        [Why.NEW, Why.CHANGED, Why.UNREADABLE, Why.AGAIN, Why.OTHERWISE],
        Why.KNOWN,
    ).astype(np.int8)


def _counts(why: NDArray[np.int8]) -> dict[str, int]:
    """How many files are read for each reason, in the order in which the reasons come."""
    reasons, first, counts = np.unique(why, return_index=True, return_counts=True)
    return {REASONS[reasons[at]]: int(counts[at]) for at in np.argsort(first)}


@dataclass(frozen=True, slots=True)
class _Sample:
    """Documents of some shards, as many bytes of them as were read.

    columns: those of TOKEN_COLUMNS, flat
    """

    bytes: int
    documents: int
    tokens: int
    columns: tuple[Any, ...]


def _sample(storage: Storage, shards: Sequence[Shard], options: ReadOptions, windower: Windower) -> _Sample:
    read, documents = 0, list[Document]()
    chosen = np.unique(np.linspace(0, len(shards) - 1, min(SAMPLED, len(shards))).astype(int)).tolist()
    for shard in (shards[number] for number in chosen):
        with storage.open(shard.name) as stream:
            found = (item for item in read_shard(stream, shard.name, options) if isinstance(item, Document))
            try:
                taken = list(islice(found, DOCUMENTS))
            except ShardError:
                continue  # the run itself counts what a broken shard gives
            read += shard.size if len(taken) < DOCUMENTS else min(shard.size, stream.tell())
        documents += taken
    tokens = tokenize(documents, windower)
    columns = tuple(_of_all(tokens, name) for name in TOKEN_COLUMNS)
    return _Sample(read, len(documents), len(columns[0]), columns)


def _of_all(tokens: dict[str, pa.ListArray], name: str) -> Any:
    """A column over all documents; places in `token_ids` count from the first document's first."""
    values = tokens[name].flatten().to_numpy()
    if name != "word_piece":
        return values
    pieces = tokens["token_ids"].value_lengths().to_numpy()
    return values + np.repeat(np.cumsum(pieces) - pieces, tokens[name].value_lengths().to_numpy())


def _speed(checkpoint: Checkpoint, settings: Settings, plan: Plan, sample: _Sample) -> float | None:
    """Tokens per second of one replica on this machine; None if the sample holds nothing."""
    ids, lengths, _ = sample.columns
    count = int(np.searchsorted(np.cumsum(lengths), TOKENS)) + 1
    lengths = lengths[:count]
    ids = ids[: int(lengths.sum())]
    if not len(ids):
        return None
    form = prepare_model(checkpoint, "cpu", settings.precision, settings.engine)
    model = Model(form, token_budget=plan.token_budget, threads=plan.threads)
    nothing = np.empty(0, np.int32)
    model.predict(ids[: int(lengths[0])], lengths[:1], nothing)  # the first call makes kernels
    began = time.monotonic()
    model.predict(ids, lengths, nothing)
    return len(ids) / (time.monotonic() - began)


def _hardware(settings: Settings) -> list[dict[str, float]]:
    """The nodes that the run is expected to have: the cluster that it waits for, or this machine."""
    wanted = settings.wait_for
    if wanted.gpus or wanted.cpus:
        return [{"CPU": float(wanted.cpus or 8 * wanted.gpus), "GPU": float(wanted.gpus)}]
    return [{"CPU": float(settings.cpus or os.cpu_count() or 1)}]
