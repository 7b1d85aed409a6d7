"""From documents to one file of mentions, in this process, without Ray and without tables."""

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.annotation.inputs import Inputs, check_settings, list_inputs, options_for
from craft_ray.annotation.items import check_item
from craft_ray.annotation.tagger import BATCH_CHARACTERS, Entities, Tagger
from craft_ray.core.errors import SettingsError, ShardError
from craft_ray.core.schema import ENTITIES, Deletion, Document, Entity, Item, Rejection, document_of
from craft_ray.core.settings import Settings
from craft_ray.core.text import safe
from craft_ray.readers import read_options, read_shard
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.addresses import absolute
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage

STANDARD = "-"
"""Standard input or output."""

COLUMNS = pa.schema([column for column in ENTITIES if column.name in ("doc_id", *Entity.__dataclass_fields__)])

Write = Callable[[pa.Table], None]


@dataclass(slots=True)
class MentionCounts:
    """Counts of a run that writes one file of mentions.

    rejected:    documents without mentions in the file because they could not be annotated, by reason
    deletions:   citations of PubMed's deletions, which a file of mentions cannot apply
    on_rejected: called for each rejected document
    """

    on_rejected: Callable[[Rejection], None]

    documents: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    deletions: int = 0
    files: int = 1
    files_passed_over: int = 0

    def reject(self, item: Rejection) -> None:
        self.rejected[item.reason] += 1
        self.on_rejected(item)

    def summary(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if name != "on_rejected"}


def annotate_to_file(
    inputs: Inputs,
    destination: str,
    settings: Settings,
    on_rejected: Callable[[Rejection], None],
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write the mentions of all documents as CSV, JSON lines or Parquet, a row each, and return the counts.

    inputs:      `-` is standard input: JSON lines, which are annotated as they come, or one text
    destination: file whose suffix names the format, which appears whole at the end; `-` writes JSON lines to standard
                 output as they come
    on_rejected: called for each document that cannot be annotated, for one whose id an earlier one has, and for the
                 rest of a broken file
    on_file:     called after each file with the number of finished files and of all

    Raises SettingsError before anything is written.
    """
    check_settings(settings)
    storage, counts, seen = Storage.of(settings), MentionCounts(on_rejected), set[str]()
    writer = _writer_of(destination)
    files = _files(storage, inputs, destination, settings, counts)
    tagger = Tagger.load(settings=settings)
    with _opened(storage, destination) as sink, writer(sink) as write:
        for number, (name, items) in enumerate(files, 1):
            for documents in _batches(_checked(items, name, seen), name == STANDARD, counts):
                write(_mentions(tagger, documents, counts))
                sink.flush()
            on_file(number, counts.files)
    return counts.summary()


def _files(
    storage: Storage, inputs: Inputs, destination: str, settings: Settings, counts: MentionCounts
) -> Iterator[tuple[str, Iterator[Item]]]:
    """The name and the items of each file."""
    options = read_options(settings)
    if STANDARD in inputs.named:
        if len(inputs.addresses) > 1:
            raise SettingsError("- is standard input, which is read alone")
        return iter([(STANDARD, islice(of_standard_input(sys.stdin.buffer, options), settings.limit))])
    listing = list_inputs(storage, inputs, None, prune=False)
    shards = [shard for shard in listing.shards(np.arange(len(listing))) if shard.name != absolute(destination)]
    counts.files, counts.files_passed_over = len(shards), len(listing.ignored_files)

    def items(name: str, path: str, own: ReadOptions) -> Iterator[Item]:
        try:
            with storage.open(name) as stream:
                yield from islice(read_shard(stream, path, own), settings.limit)
        except ShardError as error:
            yield Rejection(path, error.reason, error.detail)
        except OSError as error:
            yield Rejection(path, "unreadable", describe(error))

    return ((shard.path, items(shard.name, shard.path, options_for(shard, options))) for shard in shards)


def of_standard_input(stream: BinaryIO, options: ReadOptions) -> Iterator[Item]:
    """Yield the document of each JSON line when it has come, or one document if the input is no JSON."""
    first = stream.readline()
    if not first.lstrip().startswith(b"{"):
        text = (first + stream.read()).decode("utf-8", "replace")
        yield document_of("stdin", text) if text.strip() else Rejection("stdin", "empty_text", "no text")
        return
    as_lines = replace(options, format="jsonl")
    number, line = 1, first
    while line:
        if line.strip():
            try:
                for item in read_shard(io.BytesIO(line), "stdin", as_lines):
                    yield replace(item, doc_id=f"stdin#{number}") if item.doc_id == "stdin#1" else item
            except ShardError as error:
                yield Rejection(f"stdin#{number}", error.reason, error.detail)
        number, line = number + 1, stream.readline()


def _checked(items: Iterator[Item], name: str, seen: set[str]) -> Iterator[Item]:
    """Items with a rejection for each that no table could hold either, or whose id has been seen."""
    for number, item in enumerate(items):
        checked = check_item(f"{name}#item-{number}", item, name).item
        if isinstance(checked, Document):
            if checked.doc_id in seen:
                checked = Rejection(checked.doc_id, "duplicate_id", "an earlier document has this id")
            seen.add(checked.doc_id)
        yield checked


def _batches(items: Iterator[Item], one_by_one: bool, counts: MentionCounts) -> Iterator[list[Document]]:
    """Documents that are annotated together; other items are counted."""
    batch: list[Document] = []
    characters = 0
    for item in items:
        if isinstance(item, Deletion):
            counts.deletions += 1
        elif isinstance(item, Rejection):
            counts.reject(item)
        else:
            batch.append(item)
            characters += len(item.text)
            if one_by_one or characters >= BATCH_CHARACTERS:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch


def _mentions(tagger: Tagger, documents: list[Document], counts: MentionCounts) -> pa.Table:
    rows = []
    for document, entities in _tagged(tagger, documents, counts):
        counts.documents += 1
        counts.entities.update(entity.label for entity in entities)
        counts.left_out.update(entities.left_out)
        rows += [{"doc_id": document.doc_id, **asdict(entity)} for entity in entities]
    return pa.Table.from_pylist(rows, COLUMNS)


def _tagged(tagger: Tagger, documents: list[Document], counts: MentionCounts) -> Iterator[tuple[Document, Entities]]:
    """Documents with their entities. If the model fails, they are annotated one by one to find out at which."""
    try:
        yield from zip(documents, tagger.tag_documents(documents), strict=True)
    except Exception as error:  # whatever an engine raises
        if len(documents) == 1:
            counts.reject(Rejection(documents[0].doc_id, "failed", f"the model: {type(error).__name__}: {error}"))
            return
        for document in documents:
            yield from _tagged(tagger, [document], counts)


@contextmanager
def _opened(storage: Storage, destination: str) -> Iterator[BinaryIO]:
    if destination == STANDARD:
        yield sys.stdout.buffer
    else:
        with storage.publishing(absolute(destination)) as file:
            yield file


def _writer_of(destination: str) -> Callable[[BinaryIO], Any]:
    """The writer of a destination. Raises SettingsError if its suffix names no format."""
    suffix = ".jsonl" if destination == STANDARD else destination[destination.rfind(".") :].lower()
    if suffix not in WRITERS:
        raise SettingsError(f"--to {destination}: the suffix names the format, one of {', '.join(WRITERS)}")
    return WRITERS[suffix]


@contextmanager
def _csv(sink: BinaryIO) -> Iterator[Write]:
    import pyarrow.csv

    with pyarrow.csv.CSVWriter(sink, COLUMNS) as writer:
        yield writer.write_table


@contextmanager
def _json_lines(sink: BinaryIO) -> Iterator[Write]:
    escape = safe if sink.isatty() else str

    def write(rows: pa.Table) -> None:
        for name in ("score", "concept_score"):  # by way of text, so that 0.9 as a 32-bit float becomes 0.9
            number = rows.schema.get_field_index(name)
            rows = rows.set_column(number, name, pc.cast(pc.cast(rows[name], pa.string()), pa.float64()))
        for row in rows.to_pylist():
            sink.write(f"{escape(json.dumps(row, ensure_ascii=False))}\n".encode())

    yield write


@contextmanager
def _parquet(sink: BinaryIO) -> Iterator[Write]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(sink, COLUMNS) as writer:
        yield writer.write_table


WRITERS: dict[str, Callable[[BinaryIO], Any]] = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
"""Formats of a file of mentions, by its suffix."""
