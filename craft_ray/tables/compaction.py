"""The command `compact`: rewrites all rows of an output sorted, in large files, and with another partitioning."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.schema import DOCUMENTS, ENTITIES, LABEL, YEAR, entities_schema
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.output import open_output, tables_exist
from craft_ray.tables.records import kept_versions
from craft_ray.tables.snapshots import TableSnapshot
from craft_ray.tables.writer import Tables

PARTITIONS = ((LABEL,), (LABEL, YEAR))
"""Supported partitionings of `entities`; `documents` is never partitioned."""

SORTS = ("doc_id", "mention", YEAR)
"""Columns to sort by. `documents` has no mentions and is then sorted by doc_id."""

BATCH = 64_000
"""Rows in one batch between DuckDB and the writer."""


def compact(
    storage: Storage,
    output: str,
    partition_by: Sequence[str] | None = None,
    sort: str = "doc_id",
    file_bytes: int = 128 << 20,
    keep_versions: int | None = None,
) -> dict[str, Any]:
    """Rewrite `entities` and `documents`, each in one commit, and return their files and bytes before and after.

    partition_by:  columns that partition `entities`; unchanged if None
    sort:          column that sorts the rows of each partition
    keep_versions: number of earlier states to keep; as in the last run if None

    The rows stay the same, and later runs keep the partitioning. Raises SettingsError if there are no tables or an
    argument is not supported, and OutputBusyError while a run is at work on the output.
    """
    if partition_by is not None and tuple(partition_by) not in PARTITIONS:
        raise SettingsError(f"cannot partition by {','.join(partition_by)}: choose label, or label,year")
    if sort not in SORTS:
        raise SettingsError(f"cannot sort by {sort}: choose {', '.join(SORTS)}")
    if not tables_exist(storage, output):
        raise SettingsError(f"there are no tables in {output}")
    with hold_lease(storage, output) as lease:
        tables = Tables(storage, output, lease.run_id)
        before = open_output(storage, output)
        columns = tuple(partition_by or tables.partition_by)
        with before.connect("entities", "documents") as connection:
            connection.execute("SET memory_limit = '50%'")  # delta-rs needs the rest
            for name, query, by in (
                ("entities", _entities(columns, sort), columns),
                ("documents", _documents(sort), ()),
            ):
                rows = _checked(connection.sql(query).to_arrow_reader(BATCH), tables.counts()[name])
                tables.by_name[name].rewrite(rows, by, file_bytes)
        tables.finish(compact=False, kept=kept_versions(storage, output, keep_versions))
    after = open_output(storage, output)
    return {
        name: {"before": _size(getattr(before, name)), "after": _size(getattr(after, name))}
        for name in ("entities", "documents")
    }


def _entities(partition_by: Sequence[str], sort: str) -> str:
    columns = ", ".join(f'entities."{name}"' for name in ENTITIES.names)  # `end` is an SQL keyword
    return (
        f"SELECT {_columns(entities_schema(partition_by).names)} FROM (SELECT {columns}, years.{YEAR} FROM entities "
        f"LEFT JOIN (SELECT doc_id, {YEAR} FROM documents) years USING (doc_id)) "
        f"ORDER BY {_columns([*partition_by, sort, 'doc_id', 'start'])}"
    )


def _documents(sort: str) -> str:
    order = _columns([sort if sort in DOCUMENTS.names else "doc_id", "doc_id"])
    return f"SELECT {_columns(DOCUMENTS.names)} FROM documents ORDER BY {order}"


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in dict.fromkeys(names))


def _checked(rows: pa.RecordBatchReader, expected: int) -> pa.RecordBatchReader:
    """The same rows. If their number is unexpected, their end raises RunError, which prevents the commit."""

    def batches() -> Iterator[pa.RecordBatch]:
        seen = 0
        for batch in rows:
            seen += batch.num_rows
            yield batch
        if seen != expected:
            raise RunError(f"{seen} rows were read of a table of {expected}")

    return pa.RecordBatchReader.from_batches(rows.schema, batches())


def _size(table: TableSnapshot) -> dict[str, int]:
    return {"files": len(table.rows), "rows": len(table), "bytes": table.size}
