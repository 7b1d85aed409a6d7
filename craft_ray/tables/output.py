"""An output opened for reading: its tables as one commit left them, and the records of its runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import ANCESTORS, CONCEPTS, SHARDS, XREFS
from craft_ray.core.validation import nearest
from craft_ray.storage.addresses import join
from craft_ray.storage.storage import Storage
from craft_ray.tables.records import last_model, read_record, read_records, runs_of
from craft_ray.tables.snapshots import TableSnapshot, matching_entities, open_table, read_table, snapshot

if TYPE_CHECKING:
    import duckdb

TABLES = ("entities", "documents", "shards", "concepts", "ancestors", "xrefs")


@dataclass(frozen=True)
class Output:
    """The tables of an output at one moment.

    `entities` and `documents` are as one run or version left them. `shards`, `concepts`, `ancestors` and `xrefs` are
    always the latest, are opened on first use, and are empty if no run has written them.

    location: absolute folder or s3:// address
    versions: Delta versions of `entities` and `documents`
    run_id:   the run that left this state, or None if it was opened by version
    """

    storage: Storage = field(repr=False)
    location: str
    versions: Mapping[str, int]
    run_id: str | None
    entities: TableSnapshot
    documents: TableSnapshot

    @cached_property
    def shards(self) -> TableSnapshot:
        return self._optional("shards", SHARDS)

    @cached_property
    def concepts(self) -> TableSnapshot:
        return self._optional("concepts", CONCEPTS)

    @cached_property
    def ancestors(self) -> TableSnapshot:
        return self._optional("ancestors", ANCESTORS)

    @cached_property
    def xrefs(self) -> TableSnapshot:
        return self._optional("xrefs", XREFS)

    def _optional(self, name: str, schema: pa.Schema) -> TableSnapshot:
        if table_exists(self.storage, self.location, name):
            return read_table(self.storage, self.location, name)
        return TableSnapshot(name, ds.dataset(schema.empty_table()))

    @property
    def labels(self) -> list[str]:
        """Labels of the entities, sorted."""
        return sorted(self.entities.rows_by_label())

    @contextmanager
    def connect(self, *names: str) -> Iterator["duckdb.DuckDBPyConnection"]:
        """DuckDB with a view of each of these tables, by default of all."""
        from craft_ray.tables.database import database

        with database(**{name: getattr(self, name).dataset for name in names or TABLES}) as connection:
            yield connection

    def sql(self, query: str, **parameters: Any) -> pa.Table:
        """The result of a query over views named like the tables, in which `$name` is a parameter.

        Raises duckdb.Error if the query fails.
        """
        with self.connect() as connection:
            return connection.sql(query, params=parameters or None).to_arrow_table()

    def at(self, reference: str | None) -> "Output":
        """The same output in another state; see `open_output`."""
        return open_output(self.storage, self.location, reference)

    def run_before_last_change(self) -> str:
        """The run that left the tables as they were before a run last changed them.

        Raises SettingsError if there is none.
        """
        finished = [record for record in read_records(self.storage, self.location) if record.get("tables")]
        changed = next((i for i, record in enumerate(finished) if record["status"] != "nothing_new"), len(finished))
        if changed + 1 >= len(finished):
            raise SettingsError(f"{self.location} has no two runs to compare")
        run_id: str = finished[changed + 1]["run_id"]
        return run_id

    def runs(self) -> Iterator[dict[str, Any]]:
        """Records of the runs, newest first. A run that was killed has the status `killed`."""
        return runs_of(self.storage, self.location)

    def run(self, run_id: str) -> dict[str, Any] | None:
        return read_record(self.storage, self.location, run_id)

    def last_model(self) -> dict[str, Any]:
        """The model of the latest run as its record describes it; empty without a run."""
        return last_model(self.storage, self.location) or {}


def tables_exist(storage: Storage, location: str) -> bool:
    return table_exists(storage, location, "documents")


def table_exists(storage: Storage, location: str, name: str) -> bool:
    return bool(storage.names(join(location, name, "_delta_log")))


def open_output(storage: Storage, location: str, at: str | None = None) -> Output:
    """Open the tables of an output for reading, while a run is writing as well.

    location: absolute folder or s3:// address
    at:       run id or its beginning, or version of `documents`; by default the latest state

    Raises SettingsError if there are no tables, no such run or version, or its files are gone.
    """
    if not tables_exist(storage, location):
        raise SettingsError(f"there are no tables in {location}")
    if at is None or (at.isdecimal() and len(at) < 8):  # run ids begin with a date of eight digits
        documents = open_table(storage, location, "documents", None if at is None else int(at))
        return _output(storage, location, matching_entities(storage, location, documents), documents, None)
    record = _record_of(storage, location, at)
    entities, documents = (
        open_table(storage, location, name, record["tables"].get(name)) for name in ("entities", "documents")
    )
    return _output(storage, location, entities, documents, record["run_id"])


def _output(storage: Storage, location: str, entities: DeltaTable, documents: DeltaTable, run_id: str | None) -> Output:
    versions = {"entities": int(entities.version()), "documents": int(documents.version())}
    return Output(storage, location, versions, run_id, snapshot(entities, "entities"), snapshot(documents, "documents"))


def _record_of(storage: Storage, location: str, prefix: str) -> dict[str, Any]:
    """The record of the one finished run whose id starts with a prefix."""
    records = list(read_records(storage, location))
    matches = [record for record in records if record["run_id"].startswith(prefix)]
    if len(matches) != 1:
        hint = "" if matches else nearest(prefix, (record["run_id"] for record in records))
        raise SettingsError(
            f"{len(matches) or 'no'} runs in {location} are named {prefix}: `craft-ray runs` lists them{hint}"
        )
    if not matches[0].get("tables"):
        raise SettingsError(f"the run {matches[0]['run_id']} did not finish, so it left no state of the tables")
    return matches[0]
