"""Shards with rejected documents, to be read again by the next run though they have not changed."""

import threading

import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.core.logs import log
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.records import new_run_id
from craft_ray.tables.writer import Tables


def mark_for_reprocessing(storage: Storage, output: str, reason: str | None = None) -> list[str]:
    """Mark the shards of rejected documents, so that the next run reads them again; returns their names.

    reason: only of documents that were rejected for it

    Raises OutputBusyError while a run is at work on the output, SettingsError if its tables cannot be opened.
    """
    with hold_lease(storage, output, new_run_id(), threading.Event().wait, log.warning):
        tables = Tables(storage, output)
        wanted = pc.field("status") == "rejected"
        if reason is not None:
            wanted = wanted & (pc.field("reason") == reason)
        rejected = pc.unique(tables.documents.read(["shard"], wanted)["shard"])
        finished = tables.finished_shards()
        again = pc.is_in(finished["shard"], rejected)
        names: list[str] = sorted(finished.filter(again)["shard"].to_pylist())
        if names:
            signature = pc.if_else(again, pa.scalar(None, pa.string()), finished["signature"])
            column = finished.schema.get_field_index("signature")
            tables.shards.overwrite(finished.set_column(column, "signature", signature), tables.documents.pair)
    return names
