"""The shards of an export: documents and entities come from the tables in one order, and go into files, one by one."""

import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, BinaryIO, cast

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from craft_ray import __version__
from craft_ray.database import database
from craft_ray.errors import RunError
from craft_ray.export_plan import ASKED, Plan, without_text
from craft_ray.exporters import format_named
from craft_ray.exporters.record import Collection, Exporter, Record, Unrepresentable
from craft_ray.faults import cause
from craft_ray.schema import ENTITIES, Entity, Section
from craft_ray.snapshots import Snapshot, View, open_versions
from craft_ray.storage import Storage, join

LISTED = 20
"""Documents that a format cannot hold which are named of each shard."""

_AT_ONCE = {"documents": 2048, "entities": 16_384}
"""Rows of each table that are read, and come sorted, at once."""
_GZIP_LEVEL = 6
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Power:
    """What a task may use: threads and memory, in MB, of each of its two sorts; what is beyond goes to disk."""

    threads: int = 1
    memory_mb: int = 256


@dataclass(slots=True)
class ShardAccount:
    """What became of the documents and entities of one shard."""

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
    """What one task made. `entities` are all that its range of the tables holds, whether asked for or not."""

    shards: list[ShardAccount]
    entities: int


def write_shards(
    storage: Storage,
    plan: Plan,
    shards: range,
    power: Power = Power(),
    done: Callable[[ShardAccount], None] = lambda account: None,
) -> TaskAccount:
    """Write consecutive shards, each published whole.

    done: is told each shard, as soon as it is published

    Raises SettingsError if the texts or the versions are gone, and RunError if documents and entities do not fit.
    """
    snapshot = open_versions(storage, plan.output, plan.versions)
    accounts = []
    with _records(snapshot, plan, shards, power) as records:
        for shard in shards:
            account = _write(storage, plan, shard, islice(records, plan.counts[shard]))
            accounts.append(account)
            done(account)
        if next(records, None) is not None:
            raise RunError("there are more documents than were planned for")
    held = snapshot.entities.stream(["doc_id"], plan.within(shards), ("doc_id",), _AT_ONCE["entities"])
    return TaskAccount(accounts, sum(batch.num_rows for batch in held))


def _write(storage: Storage, plan: Plan, shard: int, records: Iterator[Record]) -> ShardAccount:
    name = plan.name(shard)
    account = ShardAccount(name)
    exporter = format_named(plan.format).make(
        Collection(name.partition(".")[0], f"craft-ray {__version__}", plan.made, plan.labels)
    )
    found = 0
    with storage.publishing(join(plan.destination, name)) as file:
        with _packed(file, plan.gzip) as packed:
            packed.write(exporter.begin())
            for record in records:
                found += 1
                account.first = account.first or record.doc_id
                account.last = record.doc_id
                _add(account, exporter, plan, record, packed)
            packed.write(exporter.end())
        account.bytes = file.tell()
        if found != plan.counts[shard]:
            raise RunError(f"{name} has {found} documents where {plan.counts[shard]} were planned")
    return account


def _add(account: ShardAccount, exporter: Exporter, plan: Plan, record: Record, file: BinaryIO) -> None:
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


@contextmanager
def _records(snapshot: Snapshot, plan: Plan, shards: range, power: Power) -> Iterator[Iterator[Record]]:
    """The documents of consecutive shards with their entities, in order of their ids."""
    within = plan.within(shards)
    wants_text = format_named(plan.format).needs_text
    columns = ["doc_id", "title", "year", "journal", "sections", "text"] if wants_text else ["doc_id"]
    with (
        _sorted(snapshot, "documents", columns, within & plan.selection.documents(), power) as documents,
        _sorted(snapshot, "entities", ["doc_id", *_ENTITY], within & plan.selection.entities(), power) as entities,
    ):
        yield _joined(_documents(documents), groupby(_entities(entities), itemgetter(0)))


_ENTITY = [name for name in Entity.__dataclass_fields__ if name in ENTITIES.names]
_ORDER = ("doc_id", "start", "end", "label")


@contextmanager
def _sorted(
    snapshot: Snapshot, table: str, columns: Sequence[str], wanted: ds.Expression, power: Power
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Some columns of some rows by id, then place; what memory does not hold is sorted on disk."""
    view: View = getattr(snapshot, table)
    order = ", ".join(f'"{name}"' for name in _ORDER if name in columns)
    with database(rows=view.stream(columns, wanted, ASKED[table], _AT_ONCE[table])) as connection:
        connection.execute(f"SET memory_limit = '{power.memory_mb}MB'; SET threads = {power.threads}")
        yield _batches(connection, f"SELECT * FROM rows ORDER BY {order}", _AT_ONCE[table])


def _batches(connection: duckdb.DuckDBPyConnection, query: str, at_once: int) -> Iterator[pa.RecordBatch]:
    """What a query gives.

    Raises RunError if files of the tables cannot be read, or have gone.
    """
    try:
        yield from connection.sql(query).to_arrow_reader(at_once)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise RunError(
            f"cannot read the tables as they were when the export began ({cause(error)}): if a run has removed these "
            "files since, export again when it is over, or have runs keep states (--keep-versions)"
        ) from error


def _documents(reader: Iterator[pa.RecordBatch]) -> Iterator[Mapping[str, Any]]:
    """Rows one by one, for a batch of long texts is large enough as it is."""
    for batch in reader:
        for row in range(batch.num_rows):
            yield {name: batch.column(place)[row].as_py() for place, name in enumerate(batch.schema.names)}


def _entities(reader: Iterator[pa.RecordBatch]) -> Iterator[tuple[str, Entity]]:
    """Each entity with its document's id; a score of 0.9 as a 32-bit number is 0.9."""
    for batch in reader:
        columns = {name: batch.column(place) for place, name in enumerate(batch.schema.names)}
        columns["score"] = pc.cast(pc.cast(columns["score"], pa.string()), pa.float64())
        fields = zip(*(columns[name].to_pylist() for name in _ENTITY), strict=True)
        for doc_id, values in zip(columns["doc_id"].to_pylist(), fields, strict=True):
            yield doc_id, Entity(*values)


def _joined(
    documents: Iterator[Mapping[str, Any]], entities: Iterator[tuple[str, Iterator[tuple[str, Entity]]]]
) -> Iterator[Record]:
    """Documents with their entities.

    Raises RunError for entities of a document that is not there.
    """
    owner, mine = next(entities, (None, iter(())))
    for row in documents:
        held: tuple[Entity, ...] = ()
        if owner == row["doc_id"]:
            held = tuple(entity for _, entity in mine)
            owner, mine = next(entities, (None, iter(())))
        yield Record(
            doc_id=row["doc_id"],
            text=row.get("text"),
            sections=tuple(Section(**section) for section in row.get("sections") or ()),
            title=row.get("title"),
            year=row.get("year"),
            journal=row.get("journal"),
            entities=held,
        )
    if owner is not None:
        raise RunError(f"there are entities of {owner}, which is not among the documents: are the tables sound?")
