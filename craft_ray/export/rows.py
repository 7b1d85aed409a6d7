"""From the tables to the documents of each part with their entities, in order of document ids."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.core.errors import RunError
from craft_ray.core.schema import Entity, Section
from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Record
from craft_ray.export.plan import MEMORY_LIMIT, ExportPlan
from craft_ray.storage.failures import describe
from craft_ray.tables.database import database
from craft_ray.tables.output import Output

_TEXT_COLUMNS = ("title", "year", "journal", "sections", "text")
_ENTITY_COLUMNS = tuple(Entity.__dataclass_fields__)

_DOCUMENT_ROWS, _ENTITY_ROWS = 2_048, 32_768
"""Rows of the batches in which the tables are read and sorted rows are fetched."""


@dataclass(frozen=True, slots=True)
class PartRows:
    """Rows of one part: documents sorted by id, and their entities sorted by document, start, end and label."""

    documents: pa.Table
    entities: pa.Table


@contextmanager
def part_rows(tables: Output, plan: ExportPlan) -> Iterator[Iterator[PartRows]]:
    """The rows of each part in turn. DuckDB sorts both tables, on disk if they do not fit in memory.

    Iterating raises RunError if files of the tables are gone, or if documents and entities do not match.
    """
    text_columns = _TEXT_COLUMNS if format_named(plan.format).needs_text else ()
    documents = tables.documents.stream(["doc_id", *text_columns, "status"], plan.selection.documents(), _DOCUMENT_ROWS)
    entities = tables.entities.stream(["doc_id", *_ENTITY_COLUMNS], plan.selection.entities(), _ENTITY_ROWS)
    with database(documents=documents) as connection, connection.cursor() as other:
        other.register("entities", entities)  # two results are read in turns, each by a connection of its own
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        yield _parts(connection, other, plan.counts)


def _parts(
    connection: duckdb.DuckDBPyConnection, other: duckdb.DuckDBPyConnection, counts: Sequence[int]
) -> Iterator[PartRows]:
    with _reading():
        by_id = connection.sql("SELECT * EXCLUDE status FROM documents ORDER BY doc_id")
        by_offset = other.sql('FROM entities ORDER BY doc_id, start, "end", label')
        sorted_documents = _Rows(by_id.to_arrow_reader(_DOCUMENT_ROWS))
        sorted_entities = _Rows(by_offset.to_arrow_reader(_ENTITY_ROWS))
        for count in counts:
            part = sorted_documents.take(count)
            if part.num_rows < count:
                raise RunError(f"there are {part.num_rows} documents where {count} were planned")
            yield PartRows(part, sorted_entities.take_through(part["doc_id"][-1]))
        if (more := sorted_documents.take(1)).num_rows:
            raise RunError(f"there are more documents than planned, such as {more['doc_id'][0]}")
        if (more := sorted_entities.take(1)).num_rows:
            raise _no_document(more["doc_id"][0].as_py())


class _Rows:
    """Takes rows from the front of a stream of batches."""

    def __init__(self, batches: pa.RecordBatchReader) -> None:
        self._batches = batches
        self._next = batches.schema.empty_table()

    def take(self, count: int) -> pa.Table:
        """The next `count` rows, or what is left."""
        taken = []
        while count and self._fill():
            taken.append(self._next.slice(0, count))
            self._next = self._next.slice(count)
            count -= taken[-1].num_rows
        return pa.concat_tables([self._batches.schema.empty_table(), *taken])

    def take_through(self, doc_id: pa.StringScalar) -> pa.Table:
        """The next rows up to the last one of a document."""
        taken = [self._batches.schema.empty_table()]
        while self._fill():
            count = pc.sum(pc.less_equal(self._next["doc_id"], doc_id)).as_py()
            taken.append(self._next.slice(0, count))
            self._next = self._next.slice(count)
            if self._next.num_rows:
                break
        return pa.concat_tables(taken)

    def _fill(self) -> bool:
        """True if there is a next row."""
        while not self._next.num_rows:
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._next = pa.Table.from_batches([batch])
        return True


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
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
