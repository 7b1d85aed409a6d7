"""Outputs written as a run writes them, without a model, and read back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from craft_ray.annotation.rows import PREDICTIONS, TOKENIZED
from craft_ray.annotation.write import WriteTask, write_block
from craft_ray.concepts.grounding import Grounder
from craft_ray.core.labels import TAGS
from craft_ray.core.schema import DOCUMENTS, ENTITIES, LABEL, SHARDS
from craft_ray.core.settings import S3Settings
from craft_ray.model.decode import Decoder
from craft_ray.model.tags import TagSet
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import WrittenBlock, partitions, write_file
from craft_ray.tables.identity import IdHasher
from craft_ray.tables.ledger import Outcome
from craft_ray.tables.output import Output, open_output
from craft_ray.tables.verify import verify
from craft_ray.tables.version import id_hasher
from craft_ray.tables.writer import Tables
from tests.support.tags import TAG_SET

STORAGE = Storage(S3Settings())
ANSWERED = pa.schema([*TOKENIZED, *(pa.field(name, kind) for name, kind in PREDICTIONS.items())])
VARYING = ("run_id", "block_id")
"""Columns that differ between runs."""


def open_tables(output: str | Path, at: str | None = None) -> Output:
    return open_output(STORAGE, str(output), at)


def table(output: str | Path, name: str, options: dict[str, str] | None = None) -> pa.Table:
    return DeltaTable(f"{output}/{name}", storage_options=options).to_pyarrow_table()


def entity_rows(output: str | Path, options: dict[str, str] | None = None) -> list[tuple[Any, ...]]:
    """All entity rows in a fixed order, scores to four digits."""
    rows = table(output, "entities", options).drop_columns(list(VARYING))
    rows = rows.set_column(rows.schema.get_field_index("score"), "score", pc.round(rows["score"], 4))
    return sorted(tuple(row.values()) for row in rows.to_pylist())


def document_rows(
    output: str | Path, options: dict[str, str] | None = None, without: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    rows = table(output, "documents", options).drop_columns([*VARYING, *without]).to_pylist()
    return sorted(rows, key=lambda row: row["doc_id"])


def close(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]], tolerance: float = 2e-4) -> bool:
    """True if entity rows are equal, scores up to the rounding of fp32 sums in another order."""
    return len(first) == len(second) and all(
        all(abs(a - b) <= tolerance if isinstance(a, float) else a == b for a, b in zip(one, other, strict=True))
        for one, other in zip(first, second, strict=True)
    )


def data_files(table: Path) -> set[Path]:
    """The Parquet files of a table, without checkpoints of its log."""
    return {path for path in table.rglob("*.parquet") if path.parent.name != "_delta_log"}


def assert_consistent(output: str | Path, options: dict[str, str] | None = None) -> Counter[str]:
    """Verify an output at rest, and return the number of documents by status."""
    faults = [check for check in verify(STORAGE, str(output)) if check.faults]
    assert not faults, faults
    return Counter(table(output, "documents", options)["status"].to_pylist())


WORDS = ["Pax6", "mouse", "TNF-α", "binds", "𝛽-actin", "of", "naïve", "kinase", "in", "yeast"]
LABELLED = {"Pax6": "Protein", "mouse": "Taxon", "TNF-α": "Protein", "𝛽-actin": "Protein", "yeast": "Taxon"}


def prepared(doc_id: str, content: str = "", **columns: Any) -> dict[str, Any]:
    """A row as the model returns it, without a text unless `columns` have one."""
    lists = ("unit_sentence", "unit_start", "unit_end", "unit_inner", "sentence_start", "sentence_end")
    row: dict[str, Any] = dict.fromkeys(TOKENIZED.names) | dict.fromkeys((*lists, *PREDICTIONS), ())
    row["computed_in"] = None
    row |= {"doc_id": doc_id, "version": 1, "content_hash": content, "key": identity.key(doc_id, content, "")}
    row |= {"id_hash": IdHasher().hash(doc_id), "shard": "shard", "shard_number": 0, "status": "annotated"}
    return row | columns


def numbered_document(number: int, words: int = 12, step: int = 3) -> dict[str, Any]:
    """A prepared row with a title and an abstract, whose words and mentions depend on the number."""
    chosen = [WORDS[(number * 7 + i * step + i * i) % len(WORDS)] for i in range(words)]
    title = words // 3
    text = " ".join(chosen[:title]) + "\n" + " ".join(chosen[title:])
    starts = [sum(len(word) + 1 for word in chosen[:i]) for i in range(words)]
    edge = starts[title]
    return prepared(
        f"PMID:{number:06}",
        text,
        title=text[: edge - 1],
        year=2000 + number % 25,
        journal="A journal",
        text=text,
        sections=[
            {"name": "title", "start": 0, "end": edge - 1},
            {"name": "abstract", "start": edge, "end": len(text)},
        ],
        n_tokens=words,
        unit_sentence=[0] * title + [1] * (words - title),
        unit_start=starts,
        unit_end=[start + len(word) for start, word in zip(starts, chosen, strict=True)],
        unit_inner=[False] * words,
        sentence_start=[0, edge],
        sentence_end=[edge - 1, len(text)],
        predicted_unit=[i for i, word in enumerate(chosen) if word in LABELLED],
        label_ids=[TAGS.index(f"B-{LABELLED[word]}") for word in chosen if word in LABELLED],
        scores=[round(0.5 + 0.04 * i, 2) for i, word in enumerate(chosen) if word in LABELLED],
    )


def document_without_text(doc_id: str, status: str) -> dict[str, Any]:
    """A prepared row of a rejected or deleted document."""
    key = identity.key(doc_id, status, "")
    return prepared(doc_id, status=status, key=key, reason="bad_xml" if status == "rejected" else None)


def commit(
    output: str | Path,
    rows: Sequence[Mapping[str, Any]],
    keep_text: bool = True,
    storage: Storage | None = None,
    grounder: Grounder | None = None,
) -> WrittenBlock:
    """Commit documents, in one block."""
    return commit_blocks(output, [rows], keep_text, storage, grounder)[0]


def commit_blocks(
    output: str | Path,
    blocks: Sequence[Sequence[Mapping[str, Any]]],
    keep_text: bool = True,
    storage: Storage | None = None,
    grounder: Grounder | None = None,
) -> list[WrittenBlock]:
    storage = storage or STORAGE
    task = WriteTask(storage, str(output), "run", Decoder(TAG_SET), keep_text, grounder=grounder)
    written = [write_block(pa.Table.from_pylist(list(rows), schema=ANSWERED), task) for rows in blocks]
    Tables(storage, str(output)).append(written)
    return written


def block(
    output: str | Path,
    *documents: tuple[str, str],
    status: str = "annotated",
    shard: int = 0,
    tags: TagSet = TAG_SET,
    year: int | None = None,
    partition_by: tuple[str, ...] = ("label",),
    run_id: str = "run",
    storage: Storage = STORAGE,
    grounder: Grounder | None = None,
) -> WrittenBlock:
    """A written block of documents (id, text). The whole text is a Taxon mention unless the document is deleted."""
    taxon = TAGS.index("B-Taxon") if tags is TAG_SET else 1
    ids, rows = ids_of(output), []
    for doc_id, text in documents:
        row = prepared(doc_id, text, status=status, year=year, shard=f"shard{shard}", shard_number=shard, n_tokens=0)
        row["id_hash"] = ids.hash(doc_id)
        if status == "annotated":
            row |= {"text": text, "sections": [{"name": "text", "start": 0, "end": len(text)}], "n_tokens": 1}
            row |= {name: [0] for name in ("unit_sentence", "unit_start", "sentence_start", "predicted_unit")}
            row |= {name: [len(text)] for name in ("unit_end", "sentence_end")}
            row |= {"label_ids": [taxon], "scores": [0.9], "unit_inner": [False]}
        rows.append(row)
    table = pa.Table.from_pylist(rows, schema=ANSWERED)
    return write_block(table, WriteTask(storage, str(output), run_id, Decoder(tags), True, partition_by, grounder))


def ids_of(output: str | Path) -> IdHasher:
    """The hasher of an output's ids; that of no output if there are no tables yet."""
    exists = Path(output, "documents", "_delta_log").is_dir()
    return id_hasher(DeltaTable(f"{output}/documents")) if exists else IdHasher()


def all_of(written: WrittenBlock, outcome: Outcome = Outcome.REVISED) -> np.ndarray:
    return np.full(len(written.entries), outcome, np.int8)


def filled(columns: Mapping[str, Any], schema: pa.Schema, rows: int) -> pa.Table:
    """A table of a schema. Missing columns are null, and a string fills its column."""

    def column(field: pa.Field) -> Any:
        given = columns.get(field.name)
        if given is None:
            return pa.nulls(rows, field.type)
        return pa.repeat(given, rows) if isinstance(given, str) else pa.array(given).cast(field.type)

    return pa.table({field.name: column(field) for field in schema}, schema=schema)


def append(tables: Tables, storage: Storage, documents: pa.Table, entities: pa.Table) -> None:
    of_entities = [
        write_file(rows, storage, tables.path("entities"), "run", where)
        for where, rows in partitions(entities, [LABEL])
    ]
    of_documents = [write_file(documents, storage, tables.path("documents"), "run")]
    nothing = np.empty(0)
    tables.append([WrittenBlock("", of_documents, of_entities, nothing, nothing.astype(np.int32), [], [], 0, [])])


def write_tables(
    output: Path | str,
    documents: Sequence[Mapping[str, Any]],
    entities: Sequence[Mapping[str, Any]],
    storage: Storage = STORAGE,
) -> None:
    """Commit rows of both tables; a row may leave columns out."""
    made = pa.Table.from_pylist([dict.fromkeys(DOCUMENTS.names) | {"status": "annotated"} | row for row in documents])
    found = [dict.fromkeys(ENTITIES.names) | {"section": "text", "score": 0.5} | row for row in entities]
    append(
        Tables(storage, str(output)),
        storage,
        filled({name: made[name].combine_chunks() for name in made.column_names}, DOCUMENTS, made.num_rows),
        pa.Table.from_pylist(found, schema=ENTITIES),
    )


def document(doc_id: str, text: str, *mentions: tuple[str, str], **about: Any) -> tuple[dict[str, Any], list[Any]]:
    """A row of `documents`, and rows of `entities` for its mentions (label, words), in the order of the text."""
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


def rows(output: Path, name: str) -> list[tuple]:
    columns = {"entities": ["doc_id", "mention", "label"], "documents": ["doc_id", "status", "n_entities"]}[name]
    table = DeltaTable(str(output / name)).to_pyarrow_table(columns=columns)
    return sorted(tuple(row.values()) for row in table.to_pylist())


def assert_only_the_snapshot(output: Path, files: int | None = None) -> None:
    """Check that both tables have no files outside their snapshots, and perhaps how many each has."""
    for name in ("entities", "documents"):
        found = {str(path.relative_to(output / name)) for path in data_files(output / name)}
        assert found == {
            str(Path(uri).relative_to(output / name)) for uri in DeltaTable(str(output / name)).file_uris()
        }
        assert files is None or len(found) == files


def finished(run_id: str, **shards: int) -> pa.Table:
    """Rows of `shards` with the number of documents in each."""
    found = [{"shard": name, "found": count, "run_id": run_id} for name, count in shards.items()]
    return pa.Table.from_pylist(found, schema=SHARDS)
