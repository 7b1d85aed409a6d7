"""A whole export: make the plan, write the parts in this process or on Ray, check the account, write the manifest."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import ray

from craft_ray.core.connection import ray_session
from craft_ray.core.errors import Interrupted, RunError, SettingsError, StoppedError
from craft_ray.core.settings import Settings
from craft_ray.core.signals import stop_on_signal
from craft_ray.export.manifest import begin_export, check_destination, finish_export, make_manifest
from craft_ray.export.parts import STOPPED, PartAccount, write_part
from craft_ray.export.plan import ExportPlan, PartSizes, Selection, make_plan
from craft_ray.export.rows import PartRows, part_rows
from craft_ray.storage.storage import Storage
from craft_ray.tables.output import Output

MIN_DOCUMENTS_FOR_RAY = 100_000
"""Number of documents from which starting Ray pays off."""

Progress = Callable[[int, int], None]


def export(
    tables: Output,
    destination: str,
    format: str,
    settings: Settings,
    *,
    selection: Selection = Selection(),  # noqa: B008  # frozen
    sizes: PartSizes = PartSizes(),  # noqa: B008  # frozen
    gzip: bool = True,
    overwrite: bool = False,
    with_ray: bool | None = None,
    excel_safe: bool = False,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Write the documents and entities of an output as files of another format, and return the manifest.

    destination: absolute folder or s3:// address; files of an earlier export in it are replaced
    settings:    how to connect to Ray
    overwrite:   allow a folder that holds other files as well
    with_ray:    write each part in a Ray task; by default from MIN_DOCUMENTS_FOR_RAY documents on
    excel_safe:  prefix values of CSV that a spreadsheet would take for formulas by an apostrophe
    progress:    called after each part with the number of finished parts and of all parts

    Raises SettingsError for wrong arguments, StoppedError after a signal, and RunError if the account does not add up
    or files of the tables are gone. The manifest is written only if all parts are.
    """
    check_destination(tables, destination, overwrite)
    if excel_safe and format != "csv":
        raise SettingsError(f"--excel-safe goes with csv, not with {format}")
    plan = replace(make_plan(tables, destination, format, selection, sizes, gzip), excel_safe=excel_safe)
    tables.storage.check_writable(destination)
    on_ray = plan.documents >= MIN_DOCUMENTS_FOR_RAY if with_ray is None else with_ray
    accounts: list[PartAccount] = []
    try:
        card = begin_export(tables.storage, plan)
        with part_rows(tables, plan) as parts:
            written = (
                _on_ray(tables.storage, plan, parts, settings) if on_ray else _in_process(tables.storage, plan, parts)
            )
            for account in written:
                accounts.append(account)
                progress(len(accounts), len(plan.counts))
    except Interrupted as signal:
        raise StoppedError(STOPPED) from signal
    manifest = make_manifest(plan, tables, accounts) | ({"card": card} if card else {})
    finish_export(tables.storage, plan, manifest)
    return manifest


def _in_process(storage: Storage, plan: ExportPlan, parts: Iterable[PartRows]) -> Iterator[PartAccount]:
    # The signal is polled between documents: an exception raised by its handler could fall between any two lines, such
    # as those that create a temporary file and register its removal.
    with stop_on_signal() as stop:
        for number, rows in enumerate(parts):
            yield write_part(storage, plan, number, rows, stop.is_set)


def _on_ray(storage: Storage, plan: ExportPlan, parts: Iterable[PartRows], settings: Settings) -> Iterator[PartAccount]:
    """Write each part in a Ray task. A few more parts than there are cores are in memory.

    After a signal Ray kills the tasks, which leave no files.
    """
    with stop_on_signal() as stop, ray_session(settings):
        stop.listen()
        concurrency = int(ray.cluster_resources().get("CPU", 1)) + 2
        task = ray.remote(num_cpus=1)(write_part)
        shared_plan = ray.put(plan)
        pending: list[ray.ObjectRef[PartAccount]] = []
        more = enumerate(parts)
        while True:
            while len(pending) < concurrency and not stop.is_set() and (part := next(more, None)):
                pending.append(task.remote(storage, shared_plan, *part))
            if stop.is_set():
                for reference in pending:
                    ray.cancel(reference, force=True)
                raise StoppedError(STOPPED)
            if not pending:
                return
            ready, pending = ray.wait(pending, timeout=0.5)
            yield from map(_result, ready)


def _result(task: "ray.ObjectRef[PartAccount]") -> PartAccount:
    """Raises what the task raised, and RunError if its process died repeatedly."""
    try:
        account: PartAccount = ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise RunError(f"a task of the export failed: {str(error).splitlines()[0]}") from error
    return account
