"""The command `rejected --retry`: shards with rejected documents are read again though they have not changed."""

import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.writer import Tables


def mark_for_reprocessing(storage: Storage, output: str, reason: str | None = None) -> list[str]:
    """Make the next run read all shards with rejected documents again; return their names.

    reason: only shards with documents rejected for this reason

    Raises OutputBusyError while a run is at work on the output, SettingsError if its tables cannot be opened.
    """
    with hold_lease(storage, output):
        tables = Tables(storage, output)
        wanted = pc.field("status") == "rejected"
        if reason is not None:
            wanted = wanted & (pc.field("reason") == reason)
        rejected = pc.unique(tables.documents.read(["shard"], wanted)["shard"])
        finished = tables.finished_shards()
        marked = pc.is_in(finished["shard"], rejected)
        names: list[str] = sorted(finished.filter(marked)["shard"].to_pylist())
        if names:
            signature = pc.if_else(marked, pa.scalar(None, pa.string()), finished["signature"])
            column = finished.schema.get_field_index("signature")
            tables.shards.overwrite(finished.set_column(column, "signature", signature), tables.documents.pair)
    return names
