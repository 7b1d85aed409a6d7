"""`_export.json`, the manifest of a finished export, and the marker file of one that has begun."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.version import __version__
from craft_ray.export.formats import format_named
from craft_ray.export.parts import PartAccount
from craft_ray.export.plan import ExportPlan, Selection
from craft_ray.storage.addresses import join
from craft_ray.storage.storage import TEMPORARY, Storage
from craft_ray.tables.output import TABLES, Output

MANIFEST = "_export.json"
"""Written last, so its presence means that the export is complete. Readers skip names with an underscore."""

BEGUN = "_export.begun"
"""Marks a folder as an export's until the manifest is written, and lists the files that belong to it."""

CARD = "README.md"
"""Describes the files, in some formats. One that somebody else has written is left alone."""

MAX_NAMED = 100
"""Unrepresentable documents that the manifest names."""


def check_destination(tables: Output, destination: str, overwrite: bool) -> None:
    """Raise SettingsError if a destination lies within the tables, or holds files but no earlier export."""
    if any(f"{destination}/".startswith(f"{join(tables.location, name)}/") for name in (*TABLES, "runs")):
        raise SettingsError(f"{destination} lies within the tables of {tables.location}")
    found = {_name(path) for path in tables.storage.names(destination)} - {"", _name(destination)}
    visible = {name for name in found if not name.startswith(".")}
    if visible and not overwrite and not visible & {MANIFEST, BEGUN}:
        raise SettingsError(
            f"{destination} is not empty and holds no earlier export ({min(visible)}, ...): choose another folder, or "
            "--overwrite to keep its files"
        )


def begin_export(storage: Storage, plan: ExportPlan) -> str | None:
    """Mark the destination as an export's, and remove the files of earlier exports, the manifest first.

    Returns the name of the file that describes the format, if it has one and nobody else's file has its name.

    Raises SettingsError if a file named like a manifest is not one.
    """
    found = {_name(path) for path in storage.names(plan.destination)}
    earlier = {name for marker in (MANIFEST, BEGUN) if marker in found for name in _listed(storage, plan, marker)}
    own = sorted({*earlier, *map(plan.file_name, range(len(plan.counts)))})
    describe = format_named(plan.format).card
    card = CARD if describe is not None and CARD not in found - earlier else None
    begun = {"whole": False, "format": plan.format, "shards": [{"name": name} for name in own], "card": card}
    storage.write_bytes(join(plan.destination, BEGUN), (json.dumps(begun) + "\n").encode())
    unfinished = {
        name for name in found if name.startswith(TEMPORARY) and name[len(TEMPORARY) :].rpartition(".")[0] in earlier
    }
    for name in (MANIFEST, *sorted(found & earlier), *sorted(unfinished)):
        storage.remove(join(plan.destination, name))
    if card is not None and describe is not None:
        storage.write_bytes(join(plan.destination, card), describe(plan.labels).encode())
    return card


def finish_export(storage: Storage, plan: ExportPlan, manifest: Mapping[str, Any]) -> None:
    storage.write_bytes(join(plan.destination, MANIFEST), (json.dumps(manifest, indent=1) + "\n").encode())
    storage.remove(join(plan.destination, BEGUN))


def _listed(storage: Storage, plan: ExportPlan, marker: str) -> list[str]:
    """The files that a manifest or marker lists."""
    path = join(plan.destination, marker)
    try:
        content = json.loads(storage.read_bytes(path))
        return [str(name) for name in (*(s["name"] for s in content["shards"]), content.get("card")) if name]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is not what an export writes: choose another folder") from error


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def make_manifest(plan: ExportPlan, tables: Output, parts: Sequence[PartAccount]) -> dict[str, Any]:
    """The account of an export.

    Raises RunError if it does not add up.
    """
    parts = sorted(parts, key=lambda part: part.name)
    documents, entities = _documents(plan, parts), _entities(tables, parts)
    if documents["annotated"] != documents["exported"] + documents["filtered"] + documents["unrepresentable"]:
        raise RunError(f"the account of documents does not add up: {documents}")
    if min(entities.values()) < 0 or (plan.selection == Selection() and entities["filtered"]):
        raise RunError(f"the account of entities does not add up: {entities}")
    reasons = sum((part.unrepresentable for part in parts), Counter[str]())
    return {
        "format": plan.format,
        **({"excel_safe": True} if plan.excel_safe else {}),
        "offsets": "Unicode code points of the document's text",
        "tables": tables.location,
        "versions": dict(tables.versions),
        "run_id": tables.run_id,
        "craft_ray": __version__,
        "date": plan.date,
        "selection": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(plan.selection).items()
            if name != "within"  # follows from `under`
        },
        "documents": documents,
        "entities": entities,
        "unrepresentable": {
            "reasons": dict(sorted(reasons.items())),
            "documents": [document for part in parts for document in part.named][:MAX_NAMED],
        },
        "bytes": sum(part.bytes for part in parts),
        "shards": [
            {name: getattr(part, name) for name in ("name", "documents", "entities", "bytes", "first", "last")}
            for part in parts
        ],
    }


def _documents(plan: ExportPlan, parts: Sequence[PartAccount]) -> dict[str, int]:
    """Documents of the tables: annotated = exported + filtered + unrepresentable."""
    annotated = plan.statuses.get("annotated", 0)
    return {
        "annotated": annotated,
        "exported": sum(part.documents for part in parts),
        "filtered": annotated - plan.documents + sum(part.empty for part in parts),
        "unrepresentable": sum(part.unrepresentable.total() for part in parts),
        "altered": sum(part.altered for part in parts),
        "left_out_rejected": plan.statuses.get("rejected", 0),
        "left_out_deleted": plan.statuses.get("deleted", 0),
    }


def _entities(tables: Output, parts: Sequence[PartAccount]) -> dict[str, int]:
    """Entities of the tables: found = exported + filtered + unrepresentable. Without a selection none is filtered."""
    found = len(tables.entities)
    exported = sum(part.entities for part in parts)
    unrepresentable = sum(part.entities_unrepresentable for part in parts)
    return {
        "found": found,
        "exported": exported,
        "filtered": found - exported - unrepresentable,
        "unrepresentable": unrepresentable,
    }
