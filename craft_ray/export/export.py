"""A whole export: plan, write the shards here or in Ray, check the account, and say in a manifest that it is whole."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import ray

from craft_ray.core.connection import ray_session
from craft_ray.core.errors import Interrupted, RunError, SettingsError, StoppedError
from craft_ray.core.settings import Settings
from craft_ray.core.signals import stop_on_signal
from craft_ray.export.formats import format_named
from craft_ray.export.manifest import BEGUN, MANIFEST, begin_export, check_destination, make_manifest
from craft_ray.export.parts import STOPPED, PartAccount, TaskAccount, write_shards
from craft_ray.export.plan import ExportPlan, PartSizes, Selection, check_text, cut, groups, labels_of
from craft_ray.storage.addresses import absolute, join
from craft_ray.storage.storage import Storage
from craft_ray.tables.snapshots import Snapshot, open_snapshot, tables_exist

RAY_FROM = 100_000
"""Documents from which on Ray is worth its start."""

Show = Callable[[int, int], None]


def export(
    output: str,
    destination: str,
    format: str,
    settings: Settings,
    *,
    at: str | None = None,
    selection: Selection = Selection(),  # noqa: B008  # frozen
    sizes: PartSizes = PartSizes(),  # noqa: B008  # frozen
    gzip: bool = True,
    overwrite: bool = False,
    with_ray: bool | None = None,
    show: Show = lambda done, of: None,
) -> dict[str, Any]:
    """Write what the tables of an output hold as files of another format; returns the manifest.

    destination: a folder, on disk or s3://; what an earlier export left in it is replaced
    at:          run id, or version of `documents`
    overwrite:   write into a folder that holds other files as well
    with_ray:    one task per part on Ray; told by the number of documents if None
    show:        is told how many shards are done, of how many

    Raises SettingsError for what cannot be, StoppedError after a signal, and RunError if the account does not add up or
    the tables lost files meanwhile. The manifest is there only if all shards are.
    """
    storage, output, destination = Storage(settings.s3, settings.patience), absolute(output), absolute(destination)
    format_named(format)
    if not tables_exist(storage, output):
        raise SettingsError(f"there are no tables in {output}")
    check_destination(storage, output, destination, overwrite)
    snapshot = open_snapshot(storage, output, at)
    plan = ExportPlan(
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
        begin_export(storage, plan)
        tasks = run(storage, plan, snapshot, settings, _counted(show, len(plan.starts)))
    except Interrupted as signal:
        raise StoppedError(STOPPED) from signal
    manifest = make_manifest(plan, snapshot, tasks)
    storage.write_bytes(join(destination, MANIFEST), (json.dumps(manifest, indent=1) + "\n").encode())
    storage.remove(join(destination, BEGUN))
    return manifest


def _counted(show: Show, shards: int) -> Callable[[PartAccount], None]:
    """A function to call after each part, which shows how many are done."""
    done = 0

    def count(_: PartAccount) -> None:
        nonlocal done
        done += 1
        show(done, shards)

    return count


def _here(
    storage: Storage, plan: ExportPlan, snapshot: Snapshot, settings: Settings, done: Callable[[PartAccount], None]
) -> list[TaskAccount]:
    """Write all shards in this process, in one pass over the tables.

    Raises StoppedError after a signal.
    """
    # The signal is looked at between documents: an exception out of its handler could fall between any two lines, such
    # as those that create a temporary file and see to its removal.
    with stop_on_signal() as stop:
        return [write_shards(storage, plan, range(len(plan.starts)), done, stop.is_set)]


def _in_ray(
    storage: Storage, plan: ExportPlan, snapshot: Snapshot, settings: Settings, done: Callable[[PartAccount], None]
) -> list[TaskAccount]:
    """Write the shards in Ray tasks.

    Raises StoppedError after a signal; Ray ends the tasks, and what they had half written with them.
    """
    finished: list[TaskAccount] = []
    with stop_on_signal() as stop, ray_session(settings):
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
            raise StoppedError(STOPPED)
    return finished


def _result(task: "ray.ObjectRef[TaskAccount]") -> TaskAccount:
    """The account of a task.

    Raises what the task raised, and RunError if its process died again and again.
    """
    try:
        account: TaskAccount = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise RunError(f"a task of the export failed: {str(error).splitlines()[0]}") from error
    return account
