"""From the tables to documents with their entities, in order of ids, with no more in memory than a bucket of them.

Tables are in any order. So the rows of several shards are first dealt out to buckets on disk, in one pass over each
table; then each bucket is sorted and joined in memory. A bucket is a shard, where there are not too many.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from craft_ray.core.errors import RunError
from craft_ray.core.schema import ENTITIES, Entity, Section
from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Record
from craft_ray.export.plan import ASKED, ExportPlan, split
from craft_ray.storage.failures import describe
from craft_ray.tables.snapshots import Snapshot, TableVersion

MOST_BUCKETS = 256
"""Buckets that are dealt to at once; each is an open file. More shards than these share buckets."""

_DOCUMENT = ("doc_id", "title", "year", "journal", "sections", "text")
_ENTITY = tuple(name for name in Entity.__dataclass_fields__ if name in ENTITIES.names)
_ORDER = ("doc_id", "start", "end", "label")
_AT_ONCE = {"documents": 2048, "entities": 32_768}
"""Rows that are read at once."""

_WRITTEN_AT_ONCE = {"documents": 64, "entities": 2048}
"""Rows that a bucket gathers before they go to disk."""


@contextmanager
def annotated_documents(snapshot: Snapshot, plan: ExportPlan, shards: range) -> Iterator[Iterator[Record]]:
    """The documents of consecutive shards with the entities asked for.

    Iterating raises RunError if files of the tables are gone, or there are entities of no document.
    """
    within = plan.within(shards)
    of_documents = _DOCUMENT if format_named(plan.format).needs_text else ("doc_id",)
    edges = [plan.starts[shards[bucket.start]] for bucket in split(len(shards), MOST_BUCKETS)[1:]]
    with tempfile.TemporaryDirectory(prefix="craft-ray-") as folder:
        documents = _buckets(
            snapshot, "documents", of_documents, within & plan.selection.documents(), edges, Path(folder)
        )
        held = [name for name in _ENTITY if name in snapshot.entities.dataset.schema.names]
        entities = _buckets(
            snapshot, "entities", ("doc_id", *held), within & plan.selection.entities(), edges, Path(folder)
        )
        yield (record for pair in zip(documents, entities, strict=True) for record in _joined(*pair))


def count_entities(snapshot: Snapshot, plan: ExportPlan, shards: range) -> int:
    """All entities in the range of consecutive shards, whether asked for or not."""
    rows = snapshot.entities.stream(["doc_id"], plan.within(shards), ("doc_id",), _AT_ONCE["entities"])
    with _readable():
        return sum(batch.num_rows for batch in rows)


def _buckets(
    snapshot: Snapshot, table: str, columns: Sequence[str], wanted: ds.Expression, edges: Sequence[str], folder: Path
) -> Iterator[pa.Table]:
    """Some columns of the rows wanted, bucket by bucket, each in order.

    edges: the first document of each bucket but the first
    """
    view: TableVersion = getattr(snapshot, table)
    order = [(name, "ascending") for name in _ORDER if name in columns]
    with _readable():
        rows = view.stream(columns, wanted, ASKED[table], _AT_ONCE[table])
        if not edges:
            yield rows.read_all().sort_by(order)
            return
        _deal(rows, edges, folder / table, _WRITTEN_AT_ONCE[table])
    for bucket in range(len(edges) + 1):
        dealt = folder / table / f"{_BUCKET}={bucket}"
        if dealt.exists():
            yield ds.dataset(dealt, rows.schema, format="ipc").to_table().sort_by(order)
        else:
            yield rows.schema.empty_table()


_BUCKET = "bucket"


def _deal(rows: pa.RecordBatchReader, edges: Sequence[str], folder: Path, at_once: int) -> None:
    """Write each row to the file of its bucket."""
    firsts = np.array(edges, object)

    def numbered() -> Iterator[pa.RecordBatch]:
        for batch in rows:
            ids = np.array(batch.column("doc_id").to_pylist(), object)
            buckets = np.searchsorted(firsts, ids, side="right").astype(np.int32)
            yield batch.append_column(_BUCKET, pa.array(buckets))

    schema = rows.schema.append(pa.field(_BUCKET, pa.int32()))
    ipc = ds.IpcFileFormat()
    ds.write_dataset(
        pa.RecordBatchReader.from_batches(schema, numbered()),
        folder,
        format=ipc,
        file_options=ipc.make_write_options(compression="lz4"),
        partitioning=ds.partitioning(pa.schema([schema.field(_BUCKET)]), flavor="hive"),
        max_open_files=MOST_BUCKETS + 1,
        min_rows_per_group=at_once,
    )


@contextmanager
def _readable() -> Iterator[None]:
    """Raises RunError if files of the tables cannot be read, or have gone."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"cannot read the tables as they were when the export began ({describe(error)}): if a run has removed "
            "these files since, export again when it is over, or have runs keep states (--keep-versions)"
        ) from error


def _joined(documents: pa.Table, entities: pa.Table) -> Iterator[Record]:
    """Sorted documents with their sorted entities.

    Raises RunError for entities of a document that is not there.
    """
    owned = groupby(_entities(entities), itemgetter(0))
    owner, mine = next(owned, (None, iter(())))
    for row in _documents(documents):
        held: tuple[Entity, ...] = ()
        if owner == row["doc_id"]:
            held = tuple(entity for _, entity in mine)
            owner, mine = next(owned, (None, iter(())))
        yield Record(
            doc_id=row["doc_id"],
            text=row.get("text"),
            sections=tuple(Section(**section) for section in row.get("sections") or ()),
            title=row.get("title"),
            year=row.get("year"),
            journal=row.get("journal"),
            entities=held,
        )
    if owner is not None:
        raise RunError(f"there are entities of {owner}, which is not among the documents: are the tables sound?")


def _documents(table: pa.Table) -> Iterator[Mapping[str, Any]]:
    """Rows one by one: not all texts at once as objects of Python."""
    for batch in table.to_batches(max_chunksize=64):
        yield from batch.to_pylist()


def _entities(table: pa.Table) -> Iterator[tuple[str, Entity]]:
    """Each entity with its document's id; a score of 0.9 as a 32-bit number is 0.9."""
    for batch in table.to_batches(max_chunksize=4096):
        columns = {name: batch.column(name) for name in batch.schema.names}
        for score in columns.keys() & {"score", "concept_score"}:
            columns[score] = pc.cast(pc.cast(columns[score], pa.string()), pa.float64())
        held = [name for name in _ENTITY if name in columns]  # tables of earlier versions have no concepts
        fields = zip(*(columns[name].to_pylist() for name in held), strict=True)
        for doc_id, values in zip(columns["doc_id"].to_pylist(), fields, strict=True):
            yield doc_id, Entity(**dict(zip(held, values, strict=True)))
