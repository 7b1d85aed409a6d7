"""One part of an export: its documents are written in a format to one file, published whole, and counted."""

import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from craft_ray.core.errors import StoppedError
from craft_ray.core.version import __version__
from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Collection, Exporter, Record, Unrepresentable
from craft_ray.export.plan import ExportPlan, text_not_kept
from craft_ray.export.rows import PartRows, records
from craft_ray.storage.addresses import join
from craft_ray.storage.storage import Storage

STOPPED = "stopped by a signal; the export is not whole, and the same command begins it anew"

NAMED_PER_PART = 20
"""Unrepresentable documents that are named of each part."""

_GZIP_LEVEL = 6
_BUFFER = 1 << 20


@dataclass(slots=True)
class PartAccount:
    """Counts of one part.

    first, last:              ids of its documents
    documents, entities:      written to the file
    bytes:                    size of the file
    altered:                  documents in which characters were replaced because the format cannot hold them
    empty:                    documents left out for having no entities
    unrepresentable:          documents that the format cannot hold, by reason; the first are `named`
    entities_unrepresentable: entities that the format cannot hold
    """

    name: str
    first: str = ""
    last: str = ""
    documents: int = 0
    entities: int = 0
    bytes: int = 0
    altered: int = 0
    empty: int = 0
    entities_unrepresentable: int = 0
    unrepresentable: Counter[str] = field(default_factory=Counter)
    named: list[dict[str, str]] = field(default_factory=list)


def write_part(
    storage: Storage, plan: ExportPlan, part: int, rows: PartRows, stopped: Callable[[], bool] = lambda: False
) -> PartAccount:
    """Write one part. Its file appears whole or not at all.

    stopped: checked before each document

    Raises SettingsError if a text was not kept, RunError for entities without a document, and StoppedError.
    """
    account = PartAccount(plan.file_name(part))
    name, source = account.name.partition(".")[0], f"craft-ray {__version__}"
    exporter = format_named(plan.format).make(Collection(name, source, plan.date, plan.labels, plan.excel_safe))
    with storage.publishing(join(plan.destination, account.name)) as file:
        with _compressed(file, plan.gzip) as stream:
            stream.write(exporter.begin())
            for record in records(rows):
                if stopped():
                    raise StoppedError(STOPPED)
                account.first = account.first or record.doc_id
                account.last = record.doc_id
                _add(account, exporter, plan, record, stream)
            stream.write(exporter.end())
        account.bytes = file.tell()
    return account


def _add(account: PartAccount, exporter: Exporter, plan: ExportPlan, record: Record, file: BinaryIO) -> None:
    if plan.selection.with_entities and not record.entities:
        account.empty += 1
        return
    if record.text is None and format_named(plan.format).needs_text:
        raise text_not_kept(plan.format, record.doc_id)
    try:
        written = exporter.add(record)
    except Unrepresentable as reason:
        account.unrepresentable[str(reason)] += 1
        account.entities_unrepresentable += len(record.entities)
        if len(account.named) < NAMED_PER_PART:
            account.named.append({"doc_id": record.doc_id, "reason": str(reason)})
        return
    file.write(written.content)
    account.documents += 1
    account.altered += written.altered
    account.entities += written.entities
    account.entities_unrepresentable += len(record.entities) - written.entities


@contextmanager
def _compressed(file: BinaryIO, compress: bool) -> Iterator[BinaryIO]:
    """A stream into a file, gzipped on request. The bytes do not depend on the time."""
    if not compress:
        yield file
        return
    with (
        gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream,
        io.BufferedWriter(cast(io.RawIOBase, stream), _BUFFER) as buffered,
    ):
        yield cast(BinaryIO, buffered)
