"""The shards of an export: documents go into files of a format, each published whole, and are accounted for."""

import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO, cast

from craft_ray.core.errors import RunError, StoppedError
from craft_ray.core.version import __version__
from craft_ray.export.formats import format_named
from craft_ray.export.formats.record import Collection, Exporter, Record, Unrepresentable
from craft_ray.export.plan import ExportPlan, without_text
from craft_ray.export.rows import annotated_documents, count_entities
from craft_ray.storage.addresses import join
from craft_ray.storage.storage import Storage
from craft_ray.tables.snapshots import open_versions

STOPPED = "stopped by a signal; the export is not whole, and the same command begins it anew"

LISTED = 20
"""Documents that a format cannot hold which are named of each shard."""

_GZIP_LEVEL = 6
_BUFFER = 1 << 20


@dataclass(slots=True)
class PartAccount:
    """The account of the documents and entities of one part."""

    name: str
    first: str = ""
    last: str = ""
    documents: int = 0
    entities: int = 0
    bytes: int = 0
    altered: int = 0
    """Documents in which characters were replaced, for the format cannot hold them."""
    empty: int = 0
    """Documents left out since they have no entity."""
    entities_unrepresentable: int = 0
    unrepresentable: Counter[str] = field(default_factory=Counter)
    """Documents that the format cannot hold, by reason."""
    named: list[dict[str, str]] = field(default_factory=list)
    """The first of these."""


@dataclass(frozen=True, slots=True)
class TaskAccount:
    """The account of one task. `entities` counts all that its range of the tables holds, asked for or not."""

    shards: list[PartAccount]
    entities: int


def write_shards(
    storage: Storage,
    plan: ExportPlan,
    shards: range,
    done: Callable[[PartAccount], None] = lambda account: None,
    stopped: Callable[[], bool] = lambda: False,
) -> TaskAccount:
    """Write consecutive shards, each published whole.

    done:    is called with the account of each shard, as soon as it is published
    stopped: is asked before each document whether to end

    Raises SettingsError if the texts or the versions are gone, RunError if documents and entities do not fit, and
    StoppedError if it was asked to end: a shard that was half written is removed.
    """
    snapshot = open_versions(storage, plan.output, plan.versions)
    accounts = []
    with annotated_documents(snapshot, plan, shards) as found:
        for shard in shards:
            account = _write(storage, plan, shard, _until(stopped, islice(found, plan.counts[shard])))
            accounts.append(account)
            done(account)
        if next(found, None) is not None:
            raise RunError("there are more documents than were planned for")
    return TaskAccount(accounts, count_entities(snapshot, plan, shards))


def _until(stopped: Callable[[], bool], documents: Iterator[Record]) -> Iterator[Record]:
    for record in documents:
        if stopped():
            raise StoppedError(STOPPED)
        yield record


def _write(storage: Storage, plan: ExportPlan, shard: int, documents: Iterator[Record]) -> PartAccount:
    name = plan.name(shard)
    account = PartAccount(name)
    exporter = format_named(plan.format).make(
        Collection(name.partition(".")[0], f"craft-ray {__version__}", plan.made, plan.labels)
    )
    found = 0
    with storage.publishing(join(plan.destination, name)) as file:
        with _packed(file, plan.gzip) as packed:
            packed.write(exporter.begin())
            for record in documents:
                found += 1
                account.first = account.first or record.doc_id
                account.last = record.doc_id
                _add(account, exporter, plan, record, packed)
            packed.write(exporter.end())
        account.bytes = file.tell()
        if found != plan.counts[shard]:
            raise RunError(f"{name} has {found} documents where {plan.counts[shard]} were planned")
    return account


def _add(account: PartAccount, exporter: Exporter, plan: ExportPlan, record: Record, file: BinaryIO) -> None:
    if plan.selection.with_entities and not record.entities:
        account.empty += 1
        return
    if record.text is None and format_named(plan.format).needs_text:
        raise without_text(plan, record.doc_id)
    try:
        written = exporter.add(record)
    except Unrepresentable as why:
        account.unrepresentable[str(why)] += 1
        account.entities_unrepresentable += len(record.entities)
        if len(account.named) < LISTED:
            account.named.append({"doc_id": record.doc_id, "reason": str(why)})
        return
    file.write(written.content)
    account.documents += 1
    account.altered += written.altered
    account.entities += written.entities
    account.entities_unrepresentable += len(record.entities) - written.entities


@contextmanager
def _packed(file: BinaryIO, packed: bool) -> Iterator[BinaryIO]:
    """A stream into a file, compressed if asked for; the same content gives the same bytes at any time."""
    if not packed:
        yield file
        return
    with (
        gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream,
        io.BufferedWriter(cast(io.RawIOBase, stream), _BUFFER) as buffered,
    ):
        yield cast(BinaryIO, buffered)
