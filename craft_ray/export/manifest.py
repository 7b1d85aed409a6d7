"""`_export.json`: what says that an export is whole, and that a folder is one's own."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.version import __version__
from craft_ray.export.parts import PartAccount, TaskAccount
from craft_ray.export.plan import ExportPlan, Selection
from craft_ray.storage.addresses import join
from craft_ray.storage.storage import TEMPORARY, Storage
from craft_ray.tables.snapshots import Snapshot

MANIFEST = "_export.json"
"""The file that says that an export is whole; written last. Its name keeps it out of what reads the folder."""

BEGUN = "_export.begun"
"""The file that says that a folder is an export's, and which files in it, until the manifest is there."""

LISTED = 100
"""Documents that the format cannot hold which the manifest names."""


def check_destination(storage: Storage, output: str, destination: str, overwrite: bool) -> None:
    """Raises SettingsError if a destination is within the tables, or holds what no export has left."""
    if any(
        f"{destination}/".startswith(f"{join(output, name)}/") for name in ("entities", "documents", "shards", "runs")
    ):
        raise SettingsError(f"{destination} lies within the tables of {output}")
    names = {path.rpartition("/")[2] for path in storage.names(destination)} - {"", destination.rpartition("/")[2]}
    seen = {name for name in names if not name.startswith(".")}
    if seen and not overwrite and not seen & {MANIFEST, BEGUN}:
        raise SettingsError(
            f"{destination} is not empty and holds no earlier export ({min(seen)}, ...): choose another folder, or "
            "--overwrite to write beside what is there"
        )


def begin_export(storage: Storage, plan: ExportPlan) -> None:
    """Mark the destination as an export's, and remove what earlier ones left in it, the manifest first.

    Raises SettingsError for what has the name of a manifest and is none.
    """
    found = {path.rpartition("/")[2] for path in storage.names(plan.destination)}
    earlier = {name for marker in (MANIFEST, BEGUN) if marker in found for name in _listed(storage, plan, marker)}
    mine = [{"name": name} for name in sorted({*earlier, *(plan.name(shard) for shard in range(len(plan.starts)))})]
    begun = {"whole": False, "format": plan.format, "shards": mine}
    storage.write_bytes(join(plan.destination, BEGUN), (json.dumps(begun) + "\n").encode())
    halves = {
        name for name in found if name.startswith(TEMPORARY) and name[len(TEMPORARY) :].rpartition(".")[0] in earlier
    }
    for name in (MANIFEST, *sorted(found & earlier), *sorted(halves)):
        storage.remove(join(plan.destination, name))


def _listed(storage: Storage, plan: ExportPlan, marker: str) -> list[str]:
    """The files that a manifest, or an export that began, names as its own."""
    path = join(plan.destination, marker)
    try:
        return [str(shard["name"]) for shard in json.loads(storage.read_bytes(path))["shards"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is not what an export writes: choose another folder") from error


def make_manifest(plan: ExportPlan, snapshot: Snapshot, tasks: Sequence[TaskAccount]) -> dict[str, Any]:
    """The account of an export.

    Raises RunError if it does not add up.
    """
    shards = sorted((shard for task in tasks for shard in task.shards), key=lambda shard: shard.name)
    documents, entities = _documents(plan, shards), _entities(snapshot, tasks, shards)
    if documents["annotated"] != documents["exported"] + documents["filtered"] + documents["unrepresentable"]:
        raise RunError(f"the account of documents does not add up: {documents}")
    if entities["found"] != sum(task.entities for task in tasks) or min(entities.values()) < 0:
        raise RunError(f"the account of entities does not add up: {entities}")
    if plan.selection == Selection() and entities["filtered"]:
        raise RunError(f"{entities['filtered']} entities were left out that nothing excludes")
    reasons = sum((shard.unrepresentable for shard in shards), Counter[str]())
    return {
        "format": plan.format,
        "offsets": "Unicode code points of the document's text",
        "tables": plan.output,
        "versions": dict(plan.versions),
        "run_id": snapshot.run_id,
        "craft_ray": __version__,
        "date": plan.made,
        "selection": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(plan.selection).items()},
        "documents": documents,
        "entities": entities,
        "unrepresentable": {
            "reasons": dict(sorted(reasons.items())),
            "documents": [named for shard in shards for named in shard.named][:LISTED],
        },
        "bytes": sum(shard.bytes for shard in shards),
        "shards": [
            {name: getattr(shard, name) for name in ("name", "documents", "entities", "bytes", "first", "last")}
            for shard in shards
        ],
    }


def _documents(plan: ExportPlan, shards: Sequence[PartAccount]) -> dict[str, int]:
    """All documents of the tables: annotated = exported + filtered + unrepresentable."""
    annotated = plan.statuses.get("annotated", 0)
    return {
        "annotated": annotated,
        "exported": sum(shard.documents for shard in shards),
        "filtered": annotated - plan.documents + sum(shard.empty for shard in shards),
        "unrepresentable": sum(shard.unrepresentable.total() for shard in shards),
        "altered": sum(shard.altered for shard in shards),
        "left_out_rejected": plan.statuses.get("rejected", 0),
        "left_out_deleted": plan.statuses.get("deleted", 0),
    }


def _entities(snapshot: Snapshot, tasks: Sequence[TaskAccount], shards: Sequence[PartAccount]) -> dict[str, int]:
    """All entities of the tables: found = exported + filtered + unrepresentable."""
    exported = sum(shard.entities for shard in shards)
    lost = sum(shard.entities_unrepresentable for shard in shards)
    return {
        "found": sum(snapshot.entities.rows.values()),
        "exported": exported,
        "filtered": sum(task.entities for task in tasks) - exported - lost,
        "unrepresentable": lost,
    }
