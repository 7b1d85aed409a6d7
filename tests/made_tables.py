"""Tables of given rows in the real layout, for tests that look at tables and need no run to make them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from craft_ray.core.schema import DOCUMENTS, ENTITIES, LABEL
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import WrittenBlock, partitions, write_file
from craft_ray.tables.writer import Tables

STORAGE = Storage(S3Settings())


def filled(columns: Mapping[str, Any], schema: pa.Schema, rows: int) -> pa.Table:
    """Columns in a schema's order, those that are not given null, those given as one string repeated."""

    def column(field: pa.Field) -> Any:
        given = columns.get(field.name)
        if given is None:
            return pa.nulls(rows, field.type)
        return pa.repeat(given, rows) if isinstance(given, str) else pa.array(given).cast(field.type)

    return pa.table({field.name: column(field) for field in schema}, schema=schema)


def append(tables: Tables, storage: Storage, documents: pa.Table, entities: pa.Table) -> None:
    """Commit rows of both tables as a run commits a block."""
    of_entities = [
        write_file(rows, storage, tables.path("entities"), where) for where, rows in partitions(entities, [LABEL])
    ]
    of_documents = [write_file(documents, storage, tables.path("documents"))]
    nothing = np.empty(0)
    tables.append([WrittenBlock("", of_documents, of_entities, nothing, nothing.astype(np.int32), [], [], 0, [])])


def write_tables(
    output: Path | str,
    documents: Sequence[Mapping[str, Any]],
    entities: Sequence[Mapping[str, Any]],
    storage: Storage = STORAGE,
) -> None:
    """Tables of an output, or more rows of them; a row may leave columns out."""
    made = pa.Table.from_pylist([dict.fromkeys(DOCUMENTS.names) | {"status": "annotated"} | row for row in documents])
    found = [dict.fromkeys(ENTITIES.names) | {"section": "text", "score": 0.5} | row for row in entities]
    append(
        Tables(storage, str(output)),
        storage,
        filled({name: made[name].combine_chunks() for name in made.column_names}, DOCUMENTS, made.num_rows),
        pa.Table.from_pylist(found, schema=ENTITIES),
    )


def document(doc_id: str, text: str, *mentions: tuple[str, str], **about: Any) -> tuple[dict[str, Any], list[Any]]:
    """A row of `documents`, and those of `entities`: each mention (label, words) where it stands in the text."""
    entities: list[dict[str, Any]] = []
    at = 0
    for label, words in mentions:
        at = text.index(words, at)
        place = {"doc_id": doc_id, "start": at, "end": at + len(words), "sentence_start": 0, "sentence_end": len(text)}
        entities.append({"label": label, "mention": words, **place})
        at += len(words)
    sections = [{"name": "text", "start": 0, "end": len(text)}]
    row = {"doc_id": doc_id, "text": text, "sections": sections, "n_entities": len(entities), "n_tokens": len(text)}
    return row | about, entities
