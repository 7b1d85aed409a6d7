"""The record of each run, `OUT/runs/<run_id>.json`."""

import json
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from itertools import islice
from typing import Any

from craft_ray.storage.addresses import is_remote, join
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import lease_holder

PACKAGES = (
    "craft-ray",
    "ray",
    "torch",
    "transformers",
    "tokenizers",
    "pyarrow",
    "deltalake",
    "s3fs",
    "lxml",
    "nupunkt",
)

READ_AT_ONCE = 16
"""Records that are read from S3 at the same time."""


class RunRecord:
    """The record of one run, written at its start and at its end."""

    def __init__(self, storage: Storage, folder: str, run_id: str, **facts: Any) -> None:
        self._storage = storage
        self._url = join(folder, "runs", f"{run_id}.json")
        self._content = {
            "run_id": run_id,
            "status": "running",
            "started": _now(),
            "finished": None,
            **facts,
            "versions": {"python": platform.python_version()} | _versions(),
        }
        self._write(storage)

    def add(self, **facts: Any) -> None:
        """Add facts that were not known at the start."""
        self._content |= facts
        self._write(self._storage)

    def close(
        self,
        status: str,
        account: dict[str, Any],
        progress: list[list[float]],
        versions: dict[str, int],
        error: str | None = None,
    ) -> None:
        """Record how the run ended, its account, and the versions of the tables at its end.

        With an `error`, a failure to write the record is only logged, as it may have the same cause.
        """
        self._content |= {"status": status, "finished": _now(), "error": error, "account": account}
        self._content |= {"progress": progress, "tables": versions}
        if error is None:
            self._write(self._storage)
        else:
            self._storage.best_effort("write the run's record", self._write)

    def _write(self, storage: Storage) -> None:
        storage.write_bytes(self._url, (json.dumps(self._content, indent=1) + "\n").encode())


def read_records(storage: Storage, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the records of an output, newest first. Ignores files that are not records.

    On S3 ever more are read at once, as many runs that found nothing new may have come since the record looked for.
    """
    paths = sorted(storage.names(join(folder, "runs")), reverse=True)
    number, growth = 1, 4 if is_remote(folder) else 1
    with ThreadPoolExecutor(READ_AT_ONCE) as pool:
        while paths:
            found = pool.map(partial(_record_at, storage), paths[:number])
            yield from (record for record in found if record is not None)
            paths, number = paths[number:], min(growth * number, READ_AT_ONCE)


def read_record(storage: Storage, folder: str, run_id: str) -> dict[str, Any] | None:
    """The record of one run, or None."""
    return _record_at(storage, join(folder, "runs", f"{run_id}.json"))


def _record_at(storage: Storage, path: str) -> dict[str, Any] | None:
    try:
        content = json.loads(storage.read_bytes(path))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) and path.endswith(f"/{content.get('run_id')}.json") else None


def runs_of(storage: Storage, output: str) -> Iterator[dict[str, Any]]:
    """Yield the records of an output, newest first, with the status `killed` for runs that died."""
    running = lease_holder(storage, output)
    for record in read_records(storage, output):
        dead = record["status"] == "running" and record["run_id"] != running
        yield record | {"status": "killed"} if dead else record


def last_model(storage: Storage, output: str) -> dict[str, Any] | None:
    """The model of the last run on an output, as in its record, or None if there was no run."""
    return next((record["model"] for record in read_records(storage, output) if record.get("model")), None)


def kept_versions(storage: Storage, output: str, number: int | None) -> list[dict[str, int]]:
    """The table versions, by table name, at the end of the last runs that changed anything.

    number: of runs; None for as many as the last run kept
    """
    if number is None:
        settings = (record.get("settings") or {} for record in read_records(storage, output))
        number = next((chosen for one in settings if (chosen := one.get("keep_versions")) is not None), 0)
    if not number:
        return []
    ended = (record for record in read_records(storage, output) if record.get("tables"))
    changed = (record["tables"] for record in ended if record["status"] != "nothing_new")
    return list(islice(changed, number))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
