"""A dry run: which shards a run would read and why, and how much that is.

Nothing is written and Ray is not started.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.annotation.catalogue.existing import BATCH
from craft_ray.annotation.catalogue.file_states import FileStates, columns_needed
from craft_ray.annotation.catalogue.vanished import ORIGIN, Vanished, find_vanished
from craft_ray.annotation.context import load_run_checkpoint
from craft_ray.annotation.inputs import Inputs, list_inputs, options_for
from craft_ray.annotation.plan import shard_signature
from craft_ray.core.errors import ShardError
from craft_ray.core.schema import Document, Item
from craft_ray.core.settings import Settings
from craft_ray.model.inference import check_combination
from craft_ray.readers import read_options, read_shard
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.addresses import absolute
from craft_ray.storage.shards import Shard
from craft_ray.storage.storage import Storage
from craft_ray.tables.output import open_output, tables_exist

SAMPLED_SHARDS, SAMPLED_DOCUMENTS, SAMPLED_CHARACTERS = 5, 1_000, 4_000_000
"""Shards that are opened to estimate the number of documents, and documents and characters read of each."""

LISTED = 50
"""Shards that a forecast lists by name."""


UP_TO_DATE = "up to date"


def forecast(inputs: Inputs, output: str, settings: Settings) -> dict[str, Any]:
    """Compare the inputs with what the output has, as a run with these settings would.

    Raises SettingsError for wrong settings and missing inputs.
    """
    options = read_options(settings)
    check_combination(settings.precision, settings.engine)
    storage, output = Storage.of(settings), absolute(output)
    listing = list_inputs(storage, inputs, output, settings.prune)
    checkpoint = load_run_checkpoint(settings, storage)
    exist = tables_exist(storage, output)
    states = FileStates.of(listing, _shard_rows(storage, output, settings.prune) if exist else ())
    why = reasons_to_read(states, shard_signature(checkpoint, settings))
    vanished = Vanished()
    if exist and settings.prune:
        table = open_output(storage, output).documents
        documents = table.stream(ORIGIN.names, pc.field("doc_id").is_valid(), BATCH)
        vanished = find_vanished(documents, listing, why != UP_TO_DATE, states)
        why[vanished.candidates] = "may hold what is gone from other files"
    to_read = listing.shards(np.flatnonzero(why != UP_TO_DATE))
    reasons = [str(reason) for reason in why[why != UP_TO_DATE]]
    return {
        "shards": {
            "found": len(listing),
            "to_read": len(to_read),
            "why": dict(Counter(reasons)),
            "files_passed_over": len(listing.ignored_files),
            **({"vanished": len(vanished.files)} if settings.prune else {}),
        },
        "bytes_to_read": sum(shard.size for shard in to_read),
        "documents_in_shards_known": int(states.found.sum()),
        "documents_expected": round(_documents_expected(storage, to_read, options)),
        "model": {"source": checkpoint.source, "fingerprint": checkpoint.fingerprint},
        "files": [
            {"shard": shard.name, "bytes": shard.size, "why": reason}
            for shard, reason in zip(to_read[:LISTED], reasons[:LISTED], strict=True)
        ],
    }


def _shard_rows(storage: Storage, output: str, with_duplicates: bool) -> Iterator[pa.RecordBatch]:
    """Stream the table `shards`."""
    columns = columns_needed(with_duplicates)
    dataset = open_output(storage, output).shards.dataset
    for batch in dataset.to_batches(columns.names, batch_size=BATCH, batch_readahead=1, fragment_readahead=1):
        yield batch.cast(columns)


def reasons_to_read(states: FileStates, signature: str) -> NDArray[np.object_]:
    """Why a run would read each file, shape (files,)."""
    reasons = {
        "new": ~states.read,
        "changed": ~states.unchanged,
        "unreadable before": ~states.permanent,
        "to be tried again": states.signature < 0,
        "read with another model, version or settings": ~states.up_to_date(signature),
    }
    names = [np.array(reason, object) for reason in reasons]
    return np.select(list(reasons.values()), names, np.array(UP_TO_DATE, object))


def _documents_expected(storage: Storage, shards: Sequence[Shard], options: ReadOptions) -> float:
    """Estimate from the first documents of a few shards, spread evenly; exact if these are all.

    Shards that a list names without a size count as the average of those.
    """
    sampled_bytes = documents = opened = 0.0
    for number in np.unique(np.linspace(0, len(shards) - 1, min(SAMPLED_SHARDS, len(shards))).astype(int)).tolist():
        shard = shards[number]
        try:
            with storage.open(shard.name) as stream:
                file_bytes, count, share_read = _first_documents(stream, shard, options)
        except (ShardError, OSError):
            continue  # the run itself reports broken shards
        documents += count / share_read
        sampled_bytes += file_bytes
        opened += 1
    if not sampled_bytes:
        return 0.0
    unknown = sum(not shard.size for shard in shards)
    return documents / sampled_bytes * sum(shard.size for shard in shards) + documents / opened * unknown


def _first_documents(stream: BinaryIO, shard: Shard, options: ReadOptions) -> tuple[int, int, float]:
    """Bytes of a file, its first documents, and the share of it that was read for them.

    Raises ShardError or OSError for a file that cannot be read.
    """
    file_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    items = read_shard(stream, shard.name, options_for(shard, options))
    count, at_end = _count(items)
    # A small compressed file is read into a buffer at once, so its position says nothing about progress.
    if not at_end and stream.tell() >= file_bytes:
        count, at_end = count + sum(isinstance(item, Document) for item in items), True
    return file_bytes, count, 1.0 if at_end else stream.tell() / file_bytes


def _count(items: Iterable[Item]) -> tuple[int, bool]:
    """Count the first documents, and return whether these are all."""
    count = characters = 0
    for item in items:
        if isinstance(item, Document):
            count, characters = count + 1, characters + len(item.text)
        if count >= SAMPLED_DOCUMENTS or characters >= SAMPLED_CHARACTERS:
            return count, False
    return count, True
