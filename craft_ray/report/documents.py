"""Documents to look at: some of an output, and their texts in segments, marked and not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from craft_ray.core.highlight import Segment, segments
from craft_ray.tables.snapshots import Snapshot, TableVersion

LONGEST = 12_000
"""Code points of a document that are shown."""

_ABOUT = ("doc_id", "title", "year", "journal", "text", "sections", "n_entities")
_MARKED = ("doc_id", "label", "start", "end", "score", "mention", "section")

_FILE = "__fragment_index"
"""Arrow's name for the number of the file in a dataset that a row is from."""

_CHOOSE = f"""
    SELECT doc_id, {_FILE} FROM found WHERE status = 'annotated' AND n_entities > 0
    ORDER BY hash(doc_id || $seed), doc_id LIMIT $number
"""


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document to show.

    parts: names of sections, and their texts
    shown: code points that are shown of `length`
    """

    about: Mapping[str, Any]
    parts: Sequence[tuple[str, Sequence[Segment]]]
    shown: int
    length: int


def choose_documents(
    connection: duckdb.DuckDBPyConnection, snapshot: Snapshot, number: int, seed: int, at_most: int
) -> list[ShownDocument]:
    """Up to so many annotated documents with their entities, drawn by a seed.

    at_most: rows of `entities` that may be searched for theirs; as it has files whose range of ids holds a document's,
             documents whose entities would take more are passed over
    """
    columns = ["doc_id", "status", "n_entities", _FILE]
    connection.register("found", snapshot.documents.dataset.scanner(columns=columns))
    wanted = {"seed": str(seed), "number": 4 * number}
    candidates = connection.execute(_CHOOSE, wanted).fetchall()
    connection.unregister("found")
    files, kept = _affordable(snapshot.entities, [doc_id for doc_id, _ in candidates], number, at_most)
    holding = sorted({file for doc_id, file in candidates if doc_id in kept})
    fragments = list(snapshot.documents.dataset.get_fragments())
    documents = _rows(snapshot.documents, [fragments[file] for file in holding], _ABOUT, kept)
    entities = _rows(snapshot.entities, _with_any(snapshot.entities, files, kept), _MARKED, kept)
    mine: dict[str, list[dict[str, Any]]] = {}
    for entity in entities:
        mine.setdefault(entity["doc_id"], []).append(entity)
    by_id = {document["doc_id"]: document for document in documents}
    return [laid_out(by_id[doc_id], mine.get(doc_id, [])) for doc_id in kept if doc_id in by_id]


def _affordable(
    view: TableVersion, doc_ids: Sequence[str], number: int, at_most: int
) -> tuple[list[ds.ParquetFileFragment], list[str]]:
    """The first documents whose entities can be found within so many rows, and the files that may have them."""
    files: dict[str, ds.ParquetFileFragment] = {}
    kept: list[str] = []
    for doc_id in doc_ids:
        if len(kept) == number:
            break
        may_hold = {part.path: part for part in view.dataset.get_fragments(filter=ds.field("doc_id") == doc_id)}
        if sum(view.rows[path] for path in files | may_hold) <= at_most:
            files |= may_hold
            kept.append(doc_id)
    return list(files.values()), kept


def _with_any(
    view: TableVersion, files: Sequence[ds.ParquetFileFragment], doc_ids: Sequence[str]
) -> list[ds.ParquetFileFragment]:
    """Those of some files that do hold rows of any document; reads their ids alone."""
    ids = pa.array(doc_ids, pa.string())
    hits = _of(view, files).scanner(columns=[_FILE], filter=ds.field("doc_id").isin(ids)).to_table()
    numbers = pc.unique(hits[_FILE]).to_pylist()
    return [files[number] for number in sorted(numbers)]


def _rows(
    view: TableVersion, files: Sequence[ds.ParquetFileFragment], columns: Sequence[str], doc_ids: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows of documents, a small batch after another, since texts are long."""
    mine: ds.Expression = reduce(or_, (ds.field("doc_id") == doc_id for doc_id in doc_ids), pc.scalar(False))
    scanner = _of(view, files).scanner(
        columns=list(columns), filter=mine, batch_size=8_192, batch_readahead=2, fragment_readahead=1
    )
    rows: list[dict[str, Any]] = scanner.to_table().to_pylist()
    return rows


def _of(view: TableVersion, files: Sequence[ds.ParquetFileFragment]) -> ds.FileSystemDataset:
    dataset = view.dataset
    return ds.FileSystemDataset(list(files), dataset.schema, dataset.format, dataset.filesystem)


def laid_out(
    document: Mapping[str, Any], entities: Sequence[Mapping[str, Any]], longest: int = LONGEST
) -> ShownDocument:
    """A document as it is shown: its sections in order, as many code points of them as there is room for.

    document: columns of `documents`; entities: columns of `entities`
    """
    text = document["text"] or ""
    sections = document["sections"] or [{"name": "text", "start": 0, "end": len(text)}]
    parts: list[tuple[str, list[Segment]]] = []
    room = longest
    for section in sections:
        start, end = section["start"], min(section["end"], len(text))
        if start >= end or room <= 0:
            continue
        until = min(end, start + room)
        parts.append((section["name"], list(segments(text, start, until, entities))))
        room -= until - start
    length = sum(section["end"] - section["start"] for section in sections)
    return ShownDocument(document, parts, longest - room, max(length, longest - room))
