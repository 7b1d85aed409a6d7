"""The plan of an export: which documents and entities, and how many documents go into each part."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.dataset as ds

from craft_ray.core.errors import SettingsError
from craft_ray.export.formats import format_named
from craft_ray.tables.database import database
from craft_ray.tables.output import Output

TOKEN_BYTES = 4
"""Approximate text size of a token, to size parts before any text is read."""

MEMORY_LIMIT = "1GB"
"""Memory in which DuckDB sorts ids; more go to disk."""

_BATCH_ROWS = 64_000


@dataclass(frozen=True, slots=True)
class Selection:
    """The documents and entities to export.

    labels:        of entities; empty for all
    min_score:     of entities
    doc_ids:       empty for all documents
    with_entities: leave out documents that have none of the selected entities
    concepts:      ids of the entities' concepts; with `under` empty for all
    under:         classes, of which `within` has the concepts
    """

    labels: tuple[str, ...] = ()
    min_score: float | None = None
    doc_ids: tuple[str, ...] = ()
    with_entities: bool = False
    concepts: tuple[str, ...] = ()
    under: tuple[str, ...] = ()
    within: frozenset[str] = frozenset()

    def documents(self) -> ds.Expression:
        """Uses the columns doc_id and status."""
        annotated = ds.field("status") == "annotated"
        return annotated & ds.field("doc_id").isin(list(self.doc_ids)) if self.doc_ids else annotated

    def entities(self) -> ds.Expression:
        """Uses the columns doc_id, label, score and concept_id."""
        selected = ds.scalar(True)
        if self.labels:
            selected &= ds.field("label").isin(list(self.labels))
        if self.doc_ids:
            selected &= ds.field("doc_id").isin(list(self.doc_ids))
        if self.concepts or self.under:
            selected &= ds.field("concept_id").isin(sorted(self.within.union(self.concepts)))
        if self.min_score is not None:
            selected &= ds.field("score") >= pa.scalar(self.min_score, pa.float32())  # rounded like the column
        return selected


@dataclass(frozen=True, slots=True)
class PartSizes:
    """Upper bounds of a part. Its last document may exceed `text_bytes`, which is estimated from tokens."""

    documents: int = 10_000
    text_bytes: int = 128 << 20


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """All that is needed to write a part, except its rows.

    labels:   that may occur, sorted
    date:     of the export, ISO 8601
    starts:   first document of each part
    counts:   number of documents of each part
    statuses: number of rows of `documents` by status
    excel_safe: whether no value may look like a formula to a spreadsheet
    """

    destination: str
    format: str
    gzip: bool
    selection: Selection
    labels: tuple[str, ...]
    date: str
    starts: tuple[str, ...]
    counts: tuple[int, ...]
    statuses: Mapping[str, int]
    excel_safe: bool = False

    @property
    def documents(self) -> int:
        return sum(self.counts)

    def file_name(self, part: int) -> str:
        return f"part-{part:05}{format_named(self.format).suffix}{'.gz' if self.gzip else ''}"


def make_plan(
    tables: Output, destination: str, format: str, selection: Selection, sizes: PartSizes, gzip: bool
) -> ExportPlan:
    """Count the documents and divide them into parts. Reads their ids, statuses and numbers of tokens.

    Raises SettingsError for an unknown format or label, and if the format needs texts that were not kept.
    """
    needs_text = format_named(format).needs_text
    if unknown := [label for label in selection.labels if label not in tables.labels]:
        raise SettingsError(
            f"the tables hold no entities labelled {', '.join(unknown)}, only {', '.join(tables.labels)}"
        )
    with tables.connect("documents") as connection:
        grouped = connection.execute("SELECT status, count(*) FROM documents GROUP BY status ORDER BY status")
        statuses = {str(status): int(count) for status, count in grouped.fetchall()}
    selected = tables.documents.stream(["doc_id", "n_tokens", "status"], selection.documents(), _BATCH_ROWS)
    with database(selected=selected) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        rows = connection.sql("SELECT doc_id, coalesce(n_tokens, 0) FROM selected ORDER BY doc_id")
        starts, counts = _divide(rows.to_arrow_reader(_BATCH_ROWS), sizes)
    if needs_text and starts:
        no_text = (ds.field("doc_id") == starts[0]) & ds.field("text").is_null()
        if any(batch.num_rows for batch in tables.documents.stream(["doc_id", "text"], no_text, 1024)):
            raise text_not_kept(format, starts[0])
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    labels = tuple(sorted(selection.labels or tables.labels))
    return ExportPlan(destination, format, gzip, selection, labels, date, tuple(starts), tuple(counts), statuses)


def text_not_kept(format: str, doc_id: str) -> SettingsError:
    return SettingsError(
        f"cannot export to {format}: the text of {doc_id} is not in the tables, since a run had keep_text: false; "
        "csv needs no texts"
    )


def _divide(rows: Iterable[pa.RecordBatch], sizes: PartSizes) -> tuple[list[str], list[int]]:
    """The first document and the number of documents of each part.

    rows: sorted by id, columns id and number of tokens
    """
    starts: list[str] = []
    counts: list[int] = []
    text_bytes = 0
    for ids, tokens in rows:
        for i, size in enumerate((tokens.to_numpy() * TOKEN_BYTES).tolist()):
            if not counts or counts[-1] == sizes.documents or text_bytes >= sizes.text_bytes:
                starts.append(ids[i].as_py())
                counts.append(0)
                text_bytes = 0
            counts[-1] += 1
            text_bytes += size
    return starts, counts
