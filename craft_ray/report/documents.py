"""The documents that a report shows: a random choice, and their texts in marked and unmarked segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from craft_ray.core.highlight import Segment, segments
from craft_ray.tables.output import Output
from craft_ray.tables.snapshots import TableSnapshot

MAX_LENGTH = 12_000
"""Code points of a document that are shown."""

_SHOWN = ("doc_id", "title", "year", "journal", "text", "sections", "n_entities")
_MARKED = ("doc_id", "label", "start", "end", "score", "mention", "section")

_FRAGMENT = "__fragment_index"
"""Arrow's name of the column with the index of a row's file."""

_CHOOSE = """
    SELECT doc_id FROM documents WHERE status = 'annotated' AND n_entities > 0
    ORDER BY hash(doc_id || $seed), doc_id LIMIT $number
"""


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document of a report.

    about:  its columns of `documents`
    parts:  names of sections, and their texts in segments
    shown:  code points shown, out of `length`
    """

    about: Mapping[str, Any]
    parts: Sequence[tuple[str, Sequence[Segment]]]
    shown: int
    length: int


def choose_documents(
    connection: duckdb.DuckDBPyConnection, tables: Output, number: int, seed: int
) -> list[ShownDocument]:
    """Up to `number` random documents that have entities; the same for the same seed.

    connection: with a view `documents`
    """
    chosen = [row[0] for row in connection.execute(_CHOOSE, {"seed": str(seed), "number": number}).fetchall()]
    documents = {row["doc_id"]: row for row in _rows_of(tables.documents, chosen, _SHOWN)}
    entities: dict[str, list[dict[str, Any]]] = {}
    for row in _rows_of(tables.entities, chosen, _MARKED):
        entities.setdefault(row["doc_id"], []).append(row)
    return [lay_out(documents[doc_id], entities.get(doc_id, [])) for doc_id in chosen]


def _rows_of(table: TableSnapshot, doc_ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of some documents. Only their ids are searched for in all files, since texts are long."""
    wanted = ds.field("doc_id").isin(pa.array(doc_ids, pa.string()))
    candidates = list(table.dataset.get_fragments(wanted))
    found = table.files(candidates).to_table(columns=[_FRAGMENT], filter=wanted)
    files = [candidates[i] for i in sorted(pc.unique(found[_FRAGMENT]).to_pylist())]
    scanner = table.files(files).scanner(
        columns=list(columns), filter=wanted, batch_size=8_192, batch_readahead=2, fragment_readahead=1
    )
    rows: list[dict[str, Any]] = scanner.to_table().to_pylist()
    return rows


def lay_out(
    document: Mapping[str, Any], entities: Sequence[Mapping[str, Any]], max_length: int = MAX_LENGTH
) -> ShownDocument:
    """A document as it is shown: its sections in order, cut after `max_length` code points.

    document: columns of `documents`
    entities: columns of `entities`
    """
    text = document["text"] or ""
    sections = document["sections"] or [{"name": "text", "start": 0, "end": len(text)}]
    parts: list[tuple[str, list[Segment]]] = []
    room = max_length
    for section in sections:
        start, end = section["start"], min(section["end"], len(text))
        if start >= end or room <= 0:
            continue
        shown_end = min(end, start + room)
        parts.append((section["name"], list(segments(text, start, shown_end, entities))))
        room -= shown_end - start
    length = sum(section["end"] - section["start"] for section in sections)
    return ShownDocument(document, parts, max_length - room, max(length, max_length - room))
