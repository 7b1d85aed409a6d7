"""Documents as readers yield them, and the Arrow schemas of the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

UNREADABLE = "#unreadable"
"""Suffix of the ids of rows for broken shards and archive members."""


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of a document: `text[start:end]`, offsets in code points."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A document as read. Sections are sorted and do not overlap; text between them is not annotated."""

    doc_id: str
    text: str
    sections: tuple[Section, ...]
    version: int = 1
    title: str | None = None
    year: int | None = None
    journal: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def document_of(doc_id: str, text: str) -> Document:
    """Make a document with one section named `text`, or none if the text is empty."""
    return Document(doc_id, text, (Section("text", 0, len(text)),) if text else ())


@dataclass(frozen=True, slots=True)
class Rejection:
    """A document that cannot be annotated. `reason` is one of REASONS."""

    doc_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """A citation that its publisher has withdrawn."""

    doc_id: str
    version: int = 1


Item = Document | Rejection | Deletion

REASONS = {
    "bad_archive": "an archive member that is no plain file, or an archive that is damaged or ends early",
    "bad_encoding": "bytes that are not UTF-8, or a lone surrogate",
    "bad_gzip": "a compressed stream that ends early or is damaged",
    "bad_json": "a line or file that is not JSON",
    "bad_record": "a record without the fields that its format asks for, with wrong types, or with an unusable id",
    "bad_xml": "XML that is not well-formed, or refused for its entities",
    "duplicate_id": "an id that its shard has already given to another document",
    "empty_text": "a document without text, of a format that has text",
    "failed": "an error that no reader or model should make, or a process that died of the document each time",
    "no_documents": "a file that is read to its end and holds no document",
    "reader_error": "content on which the reader itself fails",
    "too_large": "a document of more than 256 MB, or of more than 2,000,000 word pieces",
    "unknown_format": "content that no reader recognises",
    "unreadable": "a shard that the storage could not deliver",
}
"""Why a document is rejected. A test compares the list in tables/README.md."""

TRANSIENT_REASONS = ("failed", "unreadable")
"""Reasons that a retry may resolve. The others depend on the content alone."""

MAX_FAILURES = 3
"""Runs in a row that try to read a file which fails for such a reason; later ones leave it alone until it changes."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A mention: `text[start:end] == mention`, offsets in code points."""

    label: str
    start: int
    end: int
    mention: str
    score: float
    section: str
    ontology: str | None
    sentence_start: int
    sentence_end: int
    concept_id: str | None = None
    concept_name: str | None = None
    concept_score: float | None = None
    concept_match: str | None = None
    gene_id: str | None = None


SECTIONS = pa.list_(pa.struct([("name", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))

DOCUMENTS = pa.schema(
    [
        ("doc_id", pa.string()),
        ("version", pa.int32()),
        ("content_hash", pa.string()),
        ("key", pa.int64()),
        ("shard", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("n_entities", pa.int32()),
        ("n_tokens", pa.int32()),
        ("title", pa.string()),
        ("year", pa.int32()),
        ("journal", pa.string()),
        ("metadata", pa.string()),
        ("text", pa.string()),
        ("sections", SECTIONS),
        ("run_id", pa.string()),
        ("block_id", pa.string()),
    ]
)
"""`documents`: one row per document found. `metadata` is a JSON object; `key` comes from `identity.key`."""

ENTITIES = pa.schema(
    [
        ("doc_id", pa.string()),
        ("section", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("label", pa.string()),
        ("mention", pa.string()),
        ("score", pa.float32()),
        ("ontology", pa.string()),
        ("sentence_start", pa.int32()),
        ("sentence_end", pa.int32()),
        ("run_id", pa.string()),
        ("block_id", pa.string()),
        ("concept_id", pa.string()),
        ("concept_name", pa.string()),
        ("concept_score", pa.float32()),
        ("concept_match", pa.string()),
        ("concept_candidates", pa.list_(pa.struct([("id", pa.string()), ("score", pa.float32())]))),
        ("lexicon", pa.string()),
        ("gene_id", pa.string()),
    ]
)
"""`entities`: one row per mention."""

CONCEPT_COLUMNS = (
    "concept_id",
    "concept_name",
    "concept_score",
    "concept_match",
    "concept_candidates",
    "lexicon",
    "gene_id",
)
"""Columns of a mention's concept: CURIE, name, score, the step that found it, other candidates, the start of the
lexicon's fingerprint, which is null if there was none, and the gene of the document's species."""

CONCEPTS = pa.schema([("id", pa.string()), ("name", pa.string()), ("ontology", pa.string()), ("version", pa.string())])
"""`concepts`: one row per concept of a mention, and per class above one."""

ANCESTORS = pa.schema([("id", pa.string()), ("ancestor", pa.string()), ("distance", pa.int32())])
"""`ancestors`: for each concept of a mention all classes above it by is_a, and itself at distance 0."""

XREFS = pa.schema([("id", pa.string()), ("xref", pa.string())])
"""`xrefs`: for each concept in `concepts` the ids of the same concept in other vocabularies, such as MESH:D003924."""

LABEL, YEAR = "label", "year"
"""Partition columns of `entities`: always the label, optionally the year of the document."""


def entities_schema(partition_by: Sequence[str] = (LABEL,)) -> pa.Schema:
    """Return the schema of `entities` for a partitioning; only partitioned by year it has that column."""
    return ENTITIES.append(pa.field(YEAR, pa.int32())) if YEAR in partition_by else ENTITIES


SHARDS = pa.schema(
    [
        ("shard", pa.string()),
        ("size", pa.int64()),
        ("tag", pa.string()),
        ("signature", pa.string()),
        ("found", pa.int64()),
        ("emitted", pa.int64()),
        ("unchanged", pa.int64()),
        ("superseded", pa.int64()),
        ("duplicates", pa.list_(pa.int64())),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("run_id", pa.string()),
        ("named", pa.string()),
        ("failures", pa.int32()),
    ]
)
"""`shards`: one row per shard whose documents are all accounted for, by the run that read it last.

- `size` and `tag` change with its content, `signature` with the settings that decide how it is read. The signature is
  null if the next run must read the shard again: documents failed fewer than MAX_FAILURES times, or
  `rejected --retry` was run.
- found = emitted + unchanged + superseded. `reason` says why the shard could not be read to its end.
- `duplicates` are ids (`identity.IdHasher`) of its documents that an earlier shard had brought to the tables. A shard
  ranked between the two that arrives later must not replace them.
- `named` is the prefix of ids for its documents without an id, null if it is `shard`.
- `failures` counts the runs in a row that have failed to read it, or documents of it, for TRANSIENT_REASONS.
"""
