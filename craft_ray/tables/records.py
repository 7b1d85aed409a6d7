"""`OUT/runs/<run_id>.json`: the record of each run."""

import json
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from itertools import islice
from typing import Any

from craft_ray.storage.addresses import join
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


class RunRecord:
    """`OUT/runs/<run_id>.json`: where every row of the tables comes from. Written at the start and at the end."""

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
        """Record what became known only after the beginning."""
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
        """Record how the run ended, its account, and the versions of the tables that it left.

        What became of each shard is in the table `shards`.
        """
        self._content |= {"status": status, "finished": _now(), "error": error, "account": account}
        self._content |= {"progress": progress, "tables": versions}
        if error is None:
            self._write(self._storage)
        else:  # storage may be what failed, and that is to be heard of
            self._storage.best_effort("write the run's record", self._write)

    def _write(self, storage: Storage) -> None:
        storage.write_bytes(self._url, (json.dumps(self._content, indent=1) + "\n").encode())


def read_records(storage: Storage, folder: str) -> Iterator[dict[str, Any]]:
    """Records of an output's runs, the newest first; what is no record is passed over."""
    for path in sorted(storage.names(join(folder, "runs")), reverse=True):
        if (record := _record_at(storage, path)) is not None:
            yield record


def read_record(storage: Storage, folder: str, run_id: str) -> dict[str, Any] | None:
    """The record of one run; None if an output has none."""
    return _record_at(storage, join(folder, "runs", f"{run_id}.json"))


def _record_at(storage: Storage, path: str) -> dict[str, Any] | None:
    """A file's content, if it is the record that its name says."""
    try:
        content = json.loads(storage.read_bytes(path))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) and path.endswith(f"/{content.get('run_id')}.json") else None


def runs_of(storage: Storage, output: str) -> Iterator[dict[str, Any]]:
    """The records of an output's runs, the newest first, a run that cannot say how it ended as `killed`."""
    at_work = lease_holder(storage, output)
    for record in read_records(storage, output):
        dead = record["status"] == "running" and record["run_id"] != at_work
        yield record | {"status": "killed"} if dead else record


def last_model(storage: Storage, output: str) -> dict[str, Any] | None:
    """The model of the last run that began on an output, as its record has it; None if there was none."""
    return next((record["model"] for record in read_records(storage, output) if record.get("model")), None)


def number_kept(storage: Storage, output: str, asked: int | None) -> int:
    """How many earlier states of an output are kept: as many as are asked for, else as many as the last run kept."""
    if asked is not None:
        return asked
    for record in read_records(storage, output):
        number = record.get("keep_versions", record.get("settings", {}).get("keep_versions"))
        if number is not None:
            return int(number)
    return 0


def kept_versions(storage: Storage, output: str, asked: int | None) -> list[dict[str, int]]:
    """Versions of the tables, by name, that the last so many runs left which changed anything.

    asked: as in `number_kept`
    """
    number = number_kept(storage, output, asked)
    if not number:
        return []
    left = (record for record in read_records(storage, output) if record.get("tables"))
    changed = (record["tables"] for record in left if record["status"] != "nothing_new")
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
