"""Rows of some documents taken out of a table: only files that hold any are written again, without them."""

import uuid
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from craft_ray.storage.addresses import join
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile, partition_folder
from craft_ray.tables.delta import NumberedTable


def files_without(
    table: NumberedTable, storage: Storage, run_id: str, schema: pa.Schema, doc_ids: pa.Array
) -> tuple[list[DataFile], list[DataFile]]:
    """Files to add and files to remove, so that the table has no row of some documents.

    schema:  of the table's rows
    doc_ids: sorted

    A file is read only where its statistics say that it may hold one of them, and then its ids first.
    """
    added, removed = [], []
    wanted = doc_ids.to_pylist()
    for file in table.files():
        if _may_hold(file, wanted):
            rest = file_without(file, table.path, storage, run_id, schema, doc_ids)
            if rest is not file:
                removed.append(file)
                added += [rest] if rest else []
    return added, removed


def _may_hold(file: DataFile, doc_ids: Sequence[str]) -> bool:
    if not file.first_id or not file.last_id:  # a file without statistics
        return True
    at = bisect_left(doc_ids, file.first_id)
    return at < len(doc_ids) and doc_ids[at] <= file.last_id


def file_without(
    file: DataFile, folder: str, storage: Storage, run_id: str, schema: pa.Schema, doc_ids: pa.Array
) -> DataFile | None:
    """The file itself if it holds none of the documents, None if it holds nothing else, or one of its other rows."""
    with storage.open(join(folder, file.path)) as stream:
        source = pq.ParquetFile(stream)
        ids = source.read(["doc_id"])["doc_id"].cast(pa.string())
        kept = pc.invert(pc.is_in(ids, value_set=doc_ids))
        rows = pc.sum(kept).as_py() or 0
        if rows == source.metadata.num_rows:
            return file
        if not rows:
            return None
        path = f"{partition_folder(file.partition)}{run_id}-{uuid.uuid4().hex}.parquet"
        types = pa.schema([schema.field(name) for name in source.schema_arrow.names])
        with storage.publishing(join(folder, path)) as sink:
            with pq.ParquetWriter(sink, types, compression="zstd") as writer:
                for part in _parts(source, kept):
                    writer.write_table(part.cast(types))
            size = sink.tell()
    bounds = pc.min_max(ids.filter(kept)).as_py()
    return DataFile(path, size, rows, bounds["min"], bounds["max"], file.partition)


def _parts(source: pq.ParquetFile, kept: pa.ChunkedArray) -> Iterable[pa.Table]:
    """The rows that are kept, a row group at a time."""
    at = 0
    for group in range(source.num_row_groups):
        rows = source.read_row_group(group)
        yield rows.filter(kept.slice(at, rows.num_rows))
        at += rows.num_rows
