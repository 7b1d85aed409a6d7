"""From the tables to the documents of each part with their entities, in order of document ids."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, zip_longest
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from craft_ray.core.errors import RunError
from craft_ray.core.schema import Entity, Section
from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Record
from craft_ray.export.plan import ExportPlan
from craft_ray.storage.failures import describe
from craft_ray.tables.output import Output

MAX_BUCKETS = 256
"""Number of buckets, each an open file while they are written. If there are more parts, several share a bucket."""

_TEXT_COLUMNS = ("title", "year", "journal", "sections", "text")
_ENTITY_COLUMNS = tuple(Entity.__dataclass_fields__)
_BUCKET = "bucket"

_BATCH_ROWS = {"documents": 2_048, "entities": 32_768}
"""Rows that are read at a time."""

_BUFFERED_ROWS = {"documents": 64, "entities": 2_048}
"""Rows of a bucket that are written at a time."""


@dataclass(frozen=True, slots=True)
class PartRows:
    """Rows of one part: documents sorted by id, and their entities sorted by document, start, end and label."""

    documents: pa.Table
    entities: pa.Table


@contextmanager
def part_rows(tables: Output, plan: ExportPlan) -> Iterator[Iterator[PartRows]]:
    """The rows of each part in turn.

    The tables are in any order. So one pass over each divides its rows by id into buckets on disk, and every bucket is
    then sorted in memory.

    Iterating raises RunError if files of the tables are gone, or if documents and entities do not match.
    """
    text_columns = _TEXT_COLUMNS if format_named(plan.format).needs_text else ()
    selected = {
        "documents": (("doc_id", *text_columns, "status"), plan.selection.documents()),
        "entities": (("doc_id", *_ENTITY_COLUMNS), plan.selection.entities()),
    }
    parts_per_bucket = -(-len(plan.starts) // MAX_BUCKETS) or 1
    edges = plan.starts[parts_per_bucket::parts_per_bucket]
    with tempfile.TemporaryDirectory(prefix="craft-ray-") as folder:
        documents, entities = (
            _sorted_buckets(
                getattr(tables, name).stream(columns, where, _BATCH_ROWS[name]),
                edges,
                Path(folder, name),
                _BUFFERED_ROWS[name],
            )
            for name, (columns, where) in selected.items()
        )
        firsts = range(0, len(plan.starts) or 1, parts_per_bucket)
        yield (
            rows
            for first, bucket in zip(firsts, map(PartRows, documents, entities), strict=True)
            for rows in _split(bucket, plan, slice(first, first + parts_per_bucket))
        )


def _split(bucket: PartRows, plan: ExportPlan, parts: slice) -> Iterator[PartRows]:
    """The parts of a bucket.

    Raises RunError if it does not have as many documents as planned, or has entities but no documents.
    """
    documents, entities = bucket.documents, bucket.entities
    starts, counts = plan.starts[parts], plan.counts[parts]
    if len(documents) != sum(counts):
        raise RunError(f"there are {len(documents)} documents where {sum(counts)} were planned")
    if not counts and len(entities):
        raise _no_document(entities["doc_id"][0].as_py())
    for count, next_start in zip_longest(counts, starts[1:]):
        mine = len(entities) if next_start is None else pc.sum(pc.less(entities["doc_id"], next_start)).as_py() or 0
        yield PartRows(documents.slice(0, count), entities.slice(0, mine))
        documents, entities = documents.slice(count), entities.slice(mine)


def _sorted_buckets(
    rows: pa.RecordBatchReader, edges: Sequence[str], folder: Path, buffered_rows: int
) -> Iterator[pa.Table]:
    """The rows of each bucket in turn, sorted.

    edges: first document of each bucket except the first
    """
    with _reading():
        if not edges:
            yield _sort(rows.read_all())
            return
        _write_buckets(rows, edges, folder, buffered_rows)
    for bucket in range(len(edges) + 1):
        file = folder / f"{_BUCKET}={bucket}"
        table = ds.dataset(file, rows.schema, format="ipc").to_table() if file.exists() else rows.schema.empty_table()
        yield _sort(table)


def _sort(table: pa.Table) -> pa.Table:
    if "text" in table.column_names:  # a bucket may have more text than the 2 GB of a string array
        table = table.set_column(table.column_names.index("text"), "text", table["text"].cast(pa.large_string()))
    order = [name for name in ("doc_id", "start", "end", "label") if name in table.column_names]
    return table.sort_by([(name, "ascending") for name in order])


def _write_buckets(rows: pa.RecordBatchReader, edges: Sequence[str], folder: Path, buffered_rows: int) -> None:
    firsts = np.array(edges, object)

    def numbered() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            ids = np.array(batch.column("doc_id").to_pylist(), object)
            yield batch.append_column(_BUCKET, pa.array(np.searchsorted(firsts, ids, side="right").astype(np.int32)))

    schema = rows.schema.append(pa.field(_BUCKET, pa.int32()))
    ipc = ds.IpcFileFormat()
    ds.write_dataset(
        pa.RecordBatchReader.from_batches(schema, numbered()),
        folder,
        format=ipc,
        file_options=ipc.make_write_options(compression="lz4"),
        partitioning=ds.partitioning(pa.schema([schema.field(_BUCKET)]), flavor="hive"),
        max_open_files=MAX_BUCKETS + 1,
        min_rows_per_group=buffered_rows,
    )


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"cannot read the tables as they were when the export began ({describe(error)}): if a run has removed "
            "these files since, export again when it is over, or have runs keep states (--keep-versions)"
        ) from error


def records(rows: PartRows) -> Iterator[Record]:
    """The documents of a part with their entities.

    Raises RunError for entities whose document is not there.
    """
    by_document = groupby(_entities(rows.entities), itemgetter(0))
    doc_id, group = next(by_document, (None, iter(())))
    for batch in rows.documents.to_batches(max_chunksize=64):  # few texts at a time become Python objects
        for row in batch.to_pylist():
            entities: tuple[Entity, ...] = ()
            if doc_id == row["doc_id"]:
                entities = tuple(entity for _, entity in group)
                doc_id, group = next(by_document, (None, iter(())))
            sections = tuple(Section(**section) for section in row.pop("sections", None) or ())
            row.pop("status")
            yield Record(**{"text": None} | row, sections=sections, entities=entities)
    if doc_id is not None:
        raise _no_document(doc_id)


def _entities(table: pa.Table) -> Iterator[tuple[str, Entity]]:
    """Each entity with the id of its document."""
    for batch in table.to_batches(max_chunksize=4096):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for score in ("score", "concept_score"):  # by way of text, so that 0.9 as a 32-bit float becomes 0.9
            columns[score] = pc.cast(pc.cast(columns[score], pa.string()), pa.float64())
        fields = zip(*(columns[name].to_pylist() for name in _ENTITY_COLUMNS), strict=True)
        for doc_id, values in zip(columns["doc_id"].to_pylist(), fields, strict=True):
            yield doc_id, Entity(*values)


def _no_document(doc_id: str) -> RunError:
    return RunError(f"there are entities of {doc_id}, which is not among the documents: are the tables sound?")
