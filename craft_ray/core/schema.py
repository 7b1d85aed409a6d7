"""Documents as readers yield them, and the Arrow schemas of the tables. Imports nothing of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

UNREADABLE = "#unreadable"
"""How the ids of rows end that stand for what a broken shard or member did not give."""


@dataclass(frozen=True, slots=True)
class Section:
    """A named part of a document: `text[start:end]`, offsets in code points."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """One document as read. Sections are in order and do not overlap; what lies between them is not annotated."""

    doc_id: str
    text: str
    sections: tuple[Section, ...]
    version: int = 1
    title: str | None = None
    year: int | None = None
    journal: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def document_of(doc_id: str, text: str) -> Document:
    """A document of one section, `text`; of none if there is no text."""
    return Document(doc_id, text, (Section("text", 0, len(text)),) if text else ())


@dataclass(frozen=True, slots=True)
class Rejection:
    """A document that cannot be annotated: `reason` is one of REASONS, `detail` is for a person."""

    doc_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """A citation that its publisher withdrew from the collection."""

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
    "too_large": "a document of more than 256 MB",
    "unknown_format": "content that no reader recognises",
    "unreadable": "a shard that the storage could not deliver",
}
"""Why a document is rejected; the list in tables/README.md is checked against this one."""

TRANSIENT_REASONS = ("failed", "unreadable")
"""Reasons that may be gone at another try; all others stand in the content, and stay while that does not change."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One mention: `text[start:end] == mention`, offsets in code points of the document's text.

    The concept that it means, how sure that is and which step found it are None where nothing fits.
    """

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
"""`documents`: one row for each document found. `metadata` is a JSON object; `key` as in `identity.key`."""

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
    ]
)
"""`entities`: one row for each mention."""

CONCEPT_COLUMNS = ("concept_id", "concept_name", "concept_score", "concept_match", "concept_candidates", "lexicon")
"""The concept that a mention means: CURIE, name, how sure that is, which step found it, concepts that fit as well, and
the beginning of the fingerprint of the lexicon that was asked; null where none was."""

CONCEPTS = pa.schema([("id", pa.string()), ("name", pa.string()), ("ontology", pa.string()), ("version", pa.string())])
"""`concepts`: one row for each concept that a mention means, and for each class above one."""

ANCESTORS = pa.schema([("id", pa.string()), ("ancestor", pa.string()), ("distance", pa.int32())])
"""`ancestors`: for each concept that a mention means every class above it by is_a, and itself at distance 0."""

LABEL, YEAR = "label", "year"
"""Columns by which `entities` can be partitioned: always by its label, on request by the year of its document too."""


def entities_schema(partition_by: Sequence[str] = (LABEL,)) -> pa.Schema:
    """The columns of an `entities` table that is partitioned by some: the year is a column only where it is one."""
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
    ]
)
"""`shards`: one row for each shard whose documents are all accounted for, of the run that read it last.

`size` and `tag` tell whether its content has changed, `signature` whether it would be read in the same way (null if it
is to be read again in any case: documents failed, or `rejected --retry` asks for it); found = emitted + unchanged +
superseded, and `reason` tells why the shard could not be read to its end. `duplicates` holds ids (`identity.IdHasher`)
of documents that the tables had from an earlier shard and that this one gives once more: a shard that comes late and
lies between is older. `named` is the name by which its documents without an id are called; null if that is `shard`.
"""
