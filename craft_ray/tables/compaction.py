"""Tables laid out for those who read them: sorted, in large files, partitioned so that a question reads little."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.logs import log
from craft_ray.core.schema import DOCUMENTS, ENTITIES, LABEL, YEAR, entities_schema
from craft_ray.storage.storage import Storage
from craft_ray.tables.database import database, views
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.records import kept_versions, new_run_id
from craft_ray.tables.snapshots import Snapshot, TableVersion, open_snapshot, tables_exist
from craft_ray.tables.writer import Tables

PARTITIONS = ((LABEL,), (LABEL, YEAR))
"""The columns that `entities` can be partitioned by; `documents` never is."""

SORTS = ("doc_id", "mention", YEAR)
"""The columns that tables can be sorted by; `documents`, which has no mentions, is by doc_id then."""

BATCH = 64_000
"""Rows that go from the database to the writer at once."""


def compact(
    storage: Storage,
    output: str,
    partition_by: Sequence[str] | None = None,
    sort: str = "doc_id",
    file_bytes: int = 128 << 20,
    keep_versions: int | None = None,
    wait: Callable[[float], bool] = lambda seconds: False,
) -> dict[str, Any]:
    """Rewrite the tables of an output, one commit each; returns the files and bytes of each, before and after.

    partition_by: columns for `entities`; as it is partitioned if not given
    sort:         column to sort both tables by, within a partition
    keep_versions: earlier states to keep; as many as the last run kept if not given
    wait:         as in `hold_lease`

    No row changes, and readers see a table as it was until its commit. Runs go on in the new layout. Raises
    SettingsError for what cannot be, and OutputBusyError if a run is at work.
    """
    if partition_by is not None and tuple(partition_by) not in PARTITIONS:
        raise SettingsError(f"cannot partition by {','.join(partition_by)}: choose label, or label,year")
    if sort not in SORTS:
        raise SettingsError(f"cannot sort by {sort}: choose {', '.join(SORTS)}")
    if not tables_exist(storage, output):
        raise SettingsError(f"there are no tables in {output}")
    run_id = new_run_id()
    with hold_lease(storage, output, run_id, wait, log.warning):
        tables = Tables(storage, output, run_id)
        before = open_snapshot(storage, output)
        columns = tuple(partition_by or tables.partition_by)
        with database(**views(before)) as connection:
            connection.execute("SET memory_limit = '50%'")  # the rest is the writer's
            for name, query, by in (
                ("entities", _entities(columns, sort), columns),
                ("documents", _documents(sort), ()),
            ):
                rows = _counted(connection.sql(query).to_arrow_reader(BATCH), tables.counts()[name])
                tables.rewrite(name, rows, by, file_bytes)
        tables.finish(compact=False, kept=kept_versions(storage, output, keep_versions))
    after = open_snapshot(storage, output)
    return {name: {"before": _size(before, name), "after": _size(after, name)} for name in ("entities", "documents")}


def _entities(partition_by: Sequence[str], sort: str) -> str:
    ours = ", ".join(f'entities."{name}"' for name in ENTITIES.names)  # `end` is a word of SQL
    return (
        f"SELECT {_columns(entities_schema(partition_by).names)} FROM (SELECT {ours}, years.{YEAR} FROM entities "
        f"LEFT JOIN (SELECT doc_id, {YEAR} FROM documents) years USING (doc_id)) "
        f"ORDER BY {_columns([*partition_by, sort, 'doc_id', 'start'])}"
    )


def _documents(sort: str) -> str:
    order = _columns([sort if sort in DOCUMENTS.names else "doc_id", "doc_id"])
    return f"SELECT {_columns(DOCUMENTS.names)} FROM documents ORDER BY {order}"


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in dict.fromkeys(names))


def _counted(rows: pa.RecordBatchReader, number: int) -> pa.RecordBatchReader:
    """The same rows; their end fails, and nothing is committed, if they are more or fewer than they should be."""

    def counting() -> Iterator[pa.RecordBatch]:
        seen = 0
        for batch in rows:
            seen += batch.num_rows
            yield batch
        if seen != number:
            raise RunError(f"{seen} rows were read of a table of {number}")

    return pa.RecordBatchReader.from_batches(rows.schema, counting())


def _size(snapshot: Snapshot, name: str) -> dict[str, int]:
    view: TableVersion = getattr(snapshot, name)
    return {"files": len(view.rows), "rows": sum(view.rows.values()), "bytes": view.size}
