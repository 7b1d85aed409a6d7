"""A whole export: plan, write the shards here or in Ray, check the account, and say in a manifest that it is whole."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import ray

from craft_ray import __version__
from craft_ray.connection import connected, stop_on_signal
from craft_ray.errors import Interrupted, RunError, SettingsError, Stopped
from craft_ray.export_plan import Plan, Selection, Sizes, check_text, cut, groups, labels_of
from craft_ray.export_shards import ShardAccount, TaskAccount, write_shards
from craft_ray.exporters import format_named
from craft_ray.settings import Settings
from craft_ray.snapshots import Snapshot, open_whole
from craft_ray.storage import TEMPORARY, Storage, absolute, join
from craft_ray.tables import tables_exist

MANIFEST = "_export.json"
"""What says that an export is whole; written last. Its name keeps it out of what reads the folder."""

BEGUN = "_export.begun"
"""What says that a folder is an export's, and which files in it, from its begin until the manifest is there."""

RAY_FROM = 100_000
"""Documents from which on Ray is worth its start."""

LISTED = 100
"""Documents that the format cannot hold which the manifest names."""

STOPPED = "stopped by a signal; the export is not whole, and the same command begins it anew"

Show = Callable[[int, int], None]


def export(
    output: str,
    destination: str,
    format: str,
    settings: Settings,
    *,
    at: str | None = None,
    selection: Selection = Selection(),  # noqa: B008  # frozen
    sizes: Sizes = Sizes(),  # noqa: B008  # frozen
    gzip: bool = True,
    overwrite: bool = False,
    with_ray: bool | None = None,
    show: Show = lambda done, of: None,
) -> dict[str, Any]:
    """Write what the tables of an output hold as files of another format; returns the manifest.

    destination: a folder, on disk or s3://; what an earlier export left in it is replaced
    at:          run id, or version of `documents`
    overwrite:   write into a folder that holds other files as well
    with_ray:    a task a shard on Ray; told by the number of documents if None
    show:        is told how many shards are done, of how many

    Raises SettingsError for what cannot be, Stopped after a signal, and RunError if the account does not add up or the
    tables lost files meanwhile. The manifest is there only if all shards are.
    """
    storage, output, destination = Storage(settings.s3, settings.patience), absolute(output), absolute(destination)
    format_named(format)
    if not tables_exist(storage, output):
        raise SettingsError(f"there are no tables in {output}")
    _check_destination(storage, output, destination, overwrite)
    snapshot = open_whole(storage, output, at)
    plan = Plan(
        output=output,
        destination=destination,
        format=format,
        gzip=gzip,
        selection=selection,
        versions=snapshot.versions,
        labels=labels_of(snapshot, selection),
        made=datetime.now(UTC).strftime("%Y-%m-%d"),
        **cut(snapshot, selection, sizes),
    )
    check_text(snapshot, plan)
    storage.check_writable(destination)
    run = _in_ray if (plan.documents >= RAY_FROM if with_ray is None else with_ray) else _here
    try:
        _begin(storage, plan)
        tasks = run(storage, plan, snapshot, settings, _counted(show, len(plan.starts)))
    except Interrupted as signal:
        raise Stopped(STOPPED) from signal
    manifest = _manifest(plan, snapshot, tasks)
    storage.write_bytes(join(destination, MANIFEST), (json.dumps(manifest, indent=1) + "\n").encode())
    storage.remove(join(destination, BEGUN))
    return manifest


def _counted(show: Show, shards: int) -> Callable[[ShardAccount], None]:
    """A function that is told of each shard, and shows how many are done."""
    done = 0

    def count(_: ShardAccount) -> None:
        nonlocal done
        done += 1
        show(done, shards)

    return count


def _check_destination(storage: Storage, output: str, destination: str, overwrite: bool) -> None:
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


def _begin(storage: Storage, plan: Plan) -> None:
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


def _listed(storage: Storage, plan: Plan, marker: str) -> list[str]:
    """The files that a manifest, or an export that began, names as its own."""
    path = join(plan.destination, marker)
    try:
        return [str(shard["name"]) for shard in json.loads(storage.read_bytes(path))["shards"]]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} is not what an export writes: choose another folder") from error


def _here(
    storage: Storage, plan: Plan, snapshot: Snapshot, settings: Settings, done: Callable[[ShardAccount], None]
) -> list[TaskAccount]:
    """Write all shards in this process, in one pass over the tables."""
    return [write_shards(storage, plan, range(len(plan.starts)), done)]


def _in_ray(
    storage: Storage, plan: Plan, snapshot: Snapshot, settings: Settings, done: Callable[[ShardAccount], None]
) -> list[TaskAccount]:
    """Write the shards in Ray tasks.

    Raises Stopped after a signal; Ray ends the tasks, and what they had half written with them.
    """
    finished: list[TaskAccount] = []
    with stop_on_signal() as stop, connected(settings):
        stop.listen()
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        task = ray.remote(num_cpus=1)(write_shards)
        shared = ray.put(plan)
        waiting = [task.remote(storage, shared, shards) for shards in groups(plan, snapshot, cores)]
        while waiting and not stop.is_set():
            ready, waiting = ray.wait(waiting, timeout=0.5)
            for account in map(_result, ready):
                finished.append(account)
                for shard in account.shards:
                    done(shard)
        if stop.is_set():
            for pending in waiting:
                ray.cancel(pending, force=True)
            raise Stopped(STOPPED)
    return finished


def _result(task: "ray.ObjectRef[TaskAccount]") -> TaskAccount:
    """What a task made.

    Raises what the task raised, and RunError if its process died again and again.
    """
    try:
        account: TaskAccount = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise RunError(f"a task of the export failed: {str(error).splitlines()[0]}") from error
    return account


def _manifest(plan: Plan, snapshot: Snapshot, tasks: Sequence[TaskAccount]) -> dict[str, Any]:
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


def _documents(plan: Plan, shards: Sequence[ShardAccount]) -> dict[str, int]:
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


def _entities(snapshot: Snapshot, tasks: Sequence[TaskAccount], shards: Sequence[ShardAccount]) -> dict[str, int]:
    """All entities of the tables: found = exported + filtered + unrepresentable."""
    exported = sum(shard.entities for shard in shards)
    lost = sum(shard.entities_unrepresentable for shard in shards)
    return {
        "found": sum(snapshot.entities.rows.values()),
        "exported": exported,
        "filtered": sum(task.entities for task in tasks) - exported - lost,
        "unrepresentable": lost,
    }
