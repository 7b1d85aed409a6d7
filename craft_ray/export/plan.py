"""The plan of an export: documents and entities, versions of the tables, and how they are divided into parts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from craft_ray.core.errors import SettingsError
from craft_ray.export.formats import format_named
from craft_ray.tables.database import database
from craft_ray.tables.snapshots import Snapshot

TOKEN_BYTES = 4
"""Text of a token, about; what a shard holds is known by its tokens before any text is read."""

MOST_READ = 4
"""Times that the tables may be read by the tasks of an export together, where the layout of the tables allows."""

_BATCH = 64_000

ASKED = {"documents": ("doc_id", "status"), "entities": ("doc_id", "label", "score")}
"""Columns of each table that selections and ranges ask for."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The documents and entities that are exported.

    labels:        of entities; all if empty
    min_score:     of entities
    doc_ids:       documents; all if empty
    with_entities: leave out documents that have no entity of those asked for
    """

    labels: tuple[str, ...] = ()
    min_score: float | None = None
    doc_ids: tuple[str, ...] = ()
    with_entities: bool = False

    def documents(self) -> ds.Expression:
        """The documents asked for."""
        annotated = ds.field("status") == "annotated"
        return annotated & ds.field("doc_id").isin(list(self.doc_ids)) if self.doc_ids else annotated

    def entities(self) -> ds.Expression:
        """The entities asked for."""
        wanted = ds.scalar(True)
        if self.labels:
            wanted &= ds.field("label").isin(list(self.labels))
        if self.doc_ids:
            wanted &= ds.field("doc_id").isin(list(self.doc_ids))
        if self.min_score is not None:
            wanted &= ds.field("score") >= pa.scalar(self.min_score, pa.float32())  # 0.9 is 0.9 of the table's
        return wanted


@dataclass(frozen=True, slots=True)
class PartSizes:
    """The most that a shard holds: documents, and bytes of text, about. One document more may go over the second."""

    documents: int = 10_000
    text_bytes: int = 128 << 20


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """An export, as each of its tasks needs it.

    versions: of both tables
    labels:   that may occur
    made:     when, as ISO 8601 has it
    starts:   the first document of each shard, in order; a shard ends where the next begins
    counts:   documents of each shard
    statuses: rows of `documents` of each status
    """

    output: str
    destination: str
    format: str
    gzip: bool
    selection: Selection
    versions: Mapping[str, int]
    labels: tuple[str, ...]
    made: str
    starts: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    statuses: Mapping[str, int] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Documents in all shards."""
        return sum(self.counts)

    def name(self, shard: int) -> str:
        """A shard's file."""
        return f"part-{shard:05}{format_named(self.format).suffix}{'.gz' if self.gzip else ''}"

    def within(self, shards: range) -> ds.Expression:
        """Rows of consecutive shards; those of all shards are all rows, also such as belong to no document."""
        found = ds.scalar(True)
        if shards.start > 0:
            found &= ds.field("doc_id") >= self.starts[shards.start]
        if shards.stop < len(self.starts):
            found &= ds.field("doc_id") < self.starts[shards.stop]
        return found


def cut(snapshot: Snapshot, selection: Selection, sizes: PartSizes) -> dict[str, Any]:
    """The fields `starts`, `counts` and `statuses` of a plan.

    Reads ids, states and sizes of documents, and sorts them on disk where memory is short.
    """
    with database(documents=snapshot.documents.dataset) as connection:
        grouped = connection.execute("SELECT status, count(*) FROM documents GROUP BY status ORDER BY status")
        statuses = {str(status): int(count) for status, count in grouped.fetchall()}
    wanted = snapshot.documents.stream(["doc_id", "n_tokens"], selection.documents(), ASKED["documents"], _BATCH)
    with database(wanted=wanted) as connection:
        connection.execute("SET memory_limit = '50%'")
        rows = connection.sql("SELECT doc_id, n_tokens FROM wanted ORDER BY doc_id").to_arrow_reader(_BATCH)
        starts, counts = _shards(rows, sizes)
    return {"starts": tuple(starts), "counts": tuple(counts), "statuses": statuses}


def _shards(rows: Iterator[pa.RecordBatch], sizes: PartSizes) -> tuple[list[str], list[int]]:
    """Where shards begin, and how many documents they have."""
    starts: list[str] = []
    counts: list[int] = []
    text = 0
    for batch in rows:
        ids, tokens = batch.column(0), batch.column(1).fill_null(0).to_numpy(zero_copy_only=False)
        for number, size in enumerate((tokens * TOKEN_BYTES).tolist()):
            if not starts or counts[-1] == sizes.documents or text >= sizes.text_bytes:
                starts.append(ids[number].as_py())
                counts.append(0)
                text = 0
            counts[-1] += 1
            text += size
    return starts, counts


def groups(plan: ExportPlan, snapshot: Snapshot, workers: int) -> list[range]:
    """The shards of each task.

    One a task where the table of documents is sorted by them (`craft-ray compact`), so that each reads little. Where
    documents lie in no order, each task reads all of the tables, so there are no more tasks than workers.
    """
    number = len(plan.starts)
    low, high, rows = _row_groups(snapshot)
    tasks = number
    while tasks > workers:
        first = np.array([plan.starts[shards.start] for shards in split(number, tasks)], object)
        touched = (
            np.searchsorted(first, high, side="right") - np.maximum(np.searchsorted(first, low, side="right"), 1) + 1
        )
        if (rows * touched).sum() <= MOST_READ * rows.sum():
            break
        tasks = max(workers, tasks // 2)
    return split(number, tasks)


def split(number: int, parts: int) -> list[range]:
    """Consecutive numbers in parts of like size, none empty unless there are no numbers."""
    edges = np.linspace(0, number, max(1, min(parts, number)) + 1).astype(int).tolist()
    return [range(start, stop) for start, stop in pairwise(edges)]


def _row_groups(snapshot: Snapshot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last id, and number of rows, of each row group of `documents`; any id where a file does not say."""
    low: list[str] = []
    high: list[str] = []
    rows: list[int] = []
    for fragment in snapshot.documents.dataset.get_fragments():
        for group in fragment.row_groups:
            ids = (group.statistics or {}).get("doc_id", {"min": "", "max": chr(0x10FFFF)})
            low.append(ids["min"])
            high.append(ids["max"])
            rows.append(group.num_rows)
    return np.array(low, object), np.array(high, object), np.array(rows, np.int64)


def labels_of(snapshot: Snapshot, selection: Selection) -> tuple[str, ...]:
    """The labels that may occur.

    Raises SettingsError if one is asked for that the tables have not.
    """
    held = snapshot.entities.rows_by_label()
    if unknown := [label for label in selection.labels if label not in held]:
        raise SettingsError(
            f"the tables hold no entities labelled {', '.join(unknown)}, only {', '.join(sorted(held))}"
        )
    return tuple(sorted(selection.labels or held))


def check_text(snapshot: Snapshot, plan: ExportPlan) -> None:
    """Find out early that a format asks for texts which the tables do not keep.

    Raises SettingsError.
    """
    if format_named(plan.format).needs_text and plan.starts:
        first = (ds.field("doc_id") == plan.starts[0]) & ds.field("text").is_null()
        if any(batch.num_rows for batch in snapshot.documents.stream(["doc_id"], first, ("doc_id", "text"), 1024)):
            raise without_text(plan, plan.starts[0])


def without_text(plan: ExportPlan, doc_id: str) -> SettingsError:
    """The error of a document whose text was not kept."""
    return SettingsError(
        f"cannot export to {plan.format}: the text of {doc_id} is not in the tables, since a run had keep_text: false; "
        "csv needs no texts"
    )
