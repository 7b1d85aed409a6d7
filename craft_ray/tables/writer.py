"""The tables `entities` and `documents`, in step, and `shards`: Delta tables that one run at a time commits to.

Every commit is a pair, first to `entities`, then to `documents`, and both carry the next number of one sequence as
Delta's application transaction. From this follows:

- A run that dies between the two leaves `entities` one ahead; the next run restores it to what `documents` knows.
- Delta refuses a commit whose transaction another writer has moved on. A run begins with such a commit to each table,
  so a run before it that is still alive, or wakes up, stops with a clear error before it can mix anything in.
- Files are written by workers but count only once the driver commits them.
- A shard is recorded as finished after its documents, so what `shards` holds is true whatever dies.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from numpy.typing import NDArray

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.schema import DOCUMENTS, ENTITIES, LABEL, SHARDS, entities_schema
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.shards import rank
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import RETRACTED, DataFile, WrittenBlock, best
from craft_ray.tables.delta import COMMIT, SEQUENCE, add_action, commit_properties
from craft_ray.tables.ledger import Ledger, entries

ROWS_IN_GROUP = 64_000
"""Rows of a group in a rewritten file; what a query skips or reads at once."""

REPLACED_AT_ONCE = 5_000
"""Documents replaced in one commit; bounds its memory and the length of its predicate."""


_Write = Callable[[CommitProperties], Any]
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Known:
    """The content of `documents` when a run begins.

    number:   of each shard, by rank
    rejected: by shard, the rejected rows that are named by their place in it, for want of an id
    """

    ledger: Ledger
    number: dict[str, int]
    rejected: dict[str, list[str]]

    @classmethod
    def nothing(cls) -> "Known":
        """The facts that a run needs that reads no shard."""
        return cls(Ledger.of(entries([], [], [], [])), {}, {})


class Tables:
    """The tables of one output, opened for writing; any earlier run is shut out.

    Raises SettingsError if they cannot be opened or are not ours, StorageError if storage fails for too long.
    """

    def __init__(self, storage: Storage, output: str) -> None:
        self._storage = storage
        self.output = output
        self._options = storage.delta_options(output)
        self._mine: dict[str, int] = {}
        """The number of this run's last commit to each table, or of the last that it found."""
        try:
            self._entities = self._with_retries(lambda: self._open("entities", ENTITIES, [LABEL]))
            self._documents = self._with_retries(lambda: self._open("documents", DOCUMENTS, None))
            self._shards = self._with_retries(lambda: self._open("shards", SHARDS, None))
            self._recover()
        except (DeltaError, OSError) as error:
            raise SettingsError(f"cannot open the tables of {output}: {describe(error)}") from error
        self._fence()

    @property
    def partition_by(self) -> tuple[str, ...]:
        """The columns that `entities` is partitioned by."""
        return tuple(self._entities.metadata().partition_columns)

    def path(self, name: str) -> str:
        """The folder of a table."""
        return join(self.output, name)

    def known(self, shards: Iterable[str], finished_shards: pa.Table) -> "Known":
        """The content of `documents`, as a run that reads `shards` needs it.

        finished_shards: what the table `shards` holds
        """
        columns = ["doc_id", "version", "key", "shard", "status"]
        batches = self._with_retries(lambda: list(self._documents.to_pyarrow_dataset().to_batches(columns=columns)))
        parts = [batch for batch in batches if batch.num_rows]
        names: set[str] = set(shards)
        rejected: dict[str, list[str]] = {name: [] for name in names}
        restating = finished_shards.filter(pc.greater(pc.list_value_length(finished_shards["restated"]), 0))
        names.update(restating["shard"].to_pylist())
        for batch in parts:
            names.update(pc.unique(batch["shard"]).to_pylist())
            for row in batch.filter(pc.equal(batch["status"], "rejected")).to_pylist():
                if row["doc_id"].startswith(row["shard"]) and row["shard"] in rejected:
                    rejected[row["shard"]].append(row["doc_id"])
        number = {name: i for i, name in enumerate(sorted(names, key=rank))}
        held = [_held(batch, number) for batch in parts]
        ledger = Ledger.of(np.concatenate([entries([], [], [], []), *held]))
        numbers = np.array([number[name] for name in restating["shard"].to_pylist()], np.int64)
        ids = pc.list_flatten(restating["restated"]).to_numpy()
        ledger.restate(ids, np.repeat(numbers, pc.list_value_length(restating["restated"]).to_numpy()))
        return Known(ledger, number, {name: ids for name, ids in rejected.items() if ids})

    def append(self, blocks: Sequence[WrittenBlock]) -> None:
        """Commit blocks whose documents are all new.

        Raises RunError if another run has taken over.
        """
        now = int(time.time() * 1000)
        self._commit(
            lambda properties: self._add(self._entities, (f for b in blocks for f in b.entities), now, properties),
            lambda properties: self._add(self._documents, (f for b in blocks for f in b.documents), now, properties),
        )

    def replace(self, blocks: Sequence[WrittenBlock], kept: Sequence[NDArray[np.bool_]]) -> int:
        """Commit those documents of blocks that `kept` marks, in place of what the tables hold under their ids.

        Of documents with one id the best revision is taken. Returns how many documents were written.
        """
        every = np.concatenate([block.entries for block in blocks])
        candidates = np.flatnonzero(np.concatenate(kept))
        winners = np.zeros(len(every), np.bool_)
        winners[candidates[best(every[candidates])]] = True
        written = start = 0
        batch: list[tuple[pa.Table, pa.Table]] = []
        for block in blocks:
            mask = winners[start : start + len(block.entries)]
            start += len(block.entries)
            batch.append(self._read_back(block, mask))
            if sum(documents.num_rows for documents, _ in batch) >= REPLACED_AT_ONCE:
                written += self._overwrite(batch)
                batch = []
        return written + self._overwrite(batch)

    def finished_shards(self) -> pa.Table:
        """The content of `shards`, one row per shard."""
        return _latest(self._with_retries(lambda: self._shards.to_pyarrow_dataset().to_table().cast(SHARDS)))

    def record_finished(self, rows: pa.Table) -> None:
        """Commit shards whose documents are all committed; rows of SHARDS."""
        self._write_to(
            self._shards,
            lambda properties: write_deltalake(self._shards, rows, mode="append", commit_properties=properties),
            self._sequence(self._documents),
        )

    def finish(self, compact: bool, kept: Sequence[dict[str, int]] = ()) -> None:
        """Close a run: shut out any other, merge small files, and remove files that no table refers to.

        After it the Parquet files are exactly the tables' snapshots, and those of the versions of `entities` and
        `documents` that are `kept`.
        """
        self._fence()
        rows = self.finished_shards()
        if rows.num_rows != self._with_retries(self._shards.count):
            self._write_to(
                self._shards,
                lambda properties: write_deltalake(self._shards, rows, mode="overwrite", commit_properties=properties),
                self._sequence(self._documents),
            )
        for name, table in self._by_name().items():
            if compact:
                self._with_retries(lambda: self._compact(table))  # noqa: B023
            versions = [] if table is self._shards else [version[name] for version in kept]
            self._with_retries(lambda: self._vacuum(table, versions))  # noqa: B023

    def rewrite(self, name: str, rows: pa.RecordBatchReader, partition_by: Sequence[str], file_bytes: int) -> None:
        """Put a table's rows in new files, in the order in which they come.

        That they are its rows is the caller's care. Each partition has a group of rows in memory until the end.
        """
        table = self._by_name()[name]
        self._write_to(
            table,
            lambda properties: write_deltalake(
                table,
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                partition_by=list(partition_by) or None,
                target_file_size=file_bytes,
                writer_properties=WriterProperties(compression="ZSTD", max_row_group_size=ROWS_IN_GROUP),
                commit_properties=properties,
            ),
            self._sequence(table),
        )

    def _compact(self, table: DeltaTable) -> None:
        table.update_incremental()
        table.optimize.compact()

    def _vacuum(self, table: DeltaTable, kept: list[int]) -> None:
        table.vacuum(
            retention_hours=0, enforce_retention_duration=False, dry_run=False, full=True, keep_versions=kept or None
        )

    def versions(self) -> dict[str, int]:
        """Delta's version of each table, as this run has left it."""
        return {name: int(table.version()) for name, table in self._by_name().items()}

    def _by_name(self) -> dict[str, DeltaTable]:
        return {"entities": self._entities, "documents": self._documents, "shards": self._shards}

    def counts(self) -> dict[str, int]:
        """Rows of both tables, from their logs."""
        entities, documents = (self._with_retries(table.count) for table in (self._entities, self._documents))
        return {"entities": entities, "documents": documents}

    def written_by(self, run_id: str) -> tuple[Counter[str], Counter[str], Counter[str]]:
        """Counts of a run's rows in the tables: documents by status, rejected ones by reason, entities by label."""
        mine = pc.field("run_id") == run_id
        documents, entities = (
            self._with_retries(lambda: table.to_pyarrow_dataset().to_table(columns=columns, filter=mine))  # noqa: B023
            for table, columns in ((self._documents, ["status", "reason"]), (self._entities, [LABEL]))
        )
        columns = (documents["status"], documents["reason"].drop_null(), entities[LABEL])
        counts = [column.value_counts().to_pylist() for column in columns]
        statuses, reasons, labels = (Counter({pair["values"]: pair["counts"] for pair in pairs}) for pairs in counts)
        return statuses, reasons, labels

    def _open(self, name: str, schema: pa.Schema, partition_by: list[str] | None) -> DeltaTable:
        path = self.path(name)
        try:
            table = DeltaTable(path, storage_options=self._options)
        except TableNotFoundError:
            return DeltaTable.create(
                path,
                schema,
                mode="ignore",
                partition_by=partition_by,
                storage_options=self._options,
                configuration={"delta.dataSkippingStatsColumns": "doc_id"},
            )
        missing = set(schema.names) - {field.name for field in table.schema().fields}
        if missing:
            raise SettingsError(f"{path} is a table of another kind: it lacks {', '.join(sorted(missing))}")
        return table

    def _recover(self) -> None:
        """Bring `entities` back in step if a run died between the commits of a pair."""
        ahead, sequence = self._sequence(self._entities), self._sequence(self._documents)
        if ahead == sequence + 1:
            history = self._with_retries(self._entities.history)
            version = next(int(commit["version"]) for commit in history if commit.get(SEQUENCE) == str(ahead))
            self._write_to(
                self._entities,
                lambda properties: self._entities.restore(version - 1, commit_properties=properties),
                sequence,
            )
        elif ahead != sequence:
            raise SettingsError(
                f"the tables of {self.output} are out of step (entities {ahead}, documents {sequence}): "
                "were they changed by hand?"
            )
        if (finished := self._sequence(self._shards)) > sequence:
            raise SettingsError(
                f"the table shards of {self.output} knows more than documents does ({finished}, {sequence}): were they "
                "changed by hand? Without shards all input is read anew"
            )

    def _sequence(self, table: DeltaTable) -> int:
        return table.transaction_version(SEQUENCE) or 0

    def _fence(self) -> None:
        """An empty commit to each table, after which no other run's commit is taken."""
        self._commit(
            lambda properties: self._add(self._entities, [], 0, properties),
            lambda properties: self._add(self._documents, [], 0, properties),
        )
        self._write_to(
            self._shards,
            lambda properties: self._add(self._shards, [], 0, properties),
            self._sequence(self._documents),
        )

    def _commit(self, entities: _Write, documents: _Write) -> None:
        """Run the pair of commits under the next number.

        Raises RunError if another run has taken over, or the tables cannot be written.
        """
        number = self._sequence(self._documents) + 1
        self._write_to(self._entities, entities, number)
        self._write_to(self._documents, documents, number)

    def _write_to(self, table: DeltaTable, write: _Write, number: int) -> None:
        """One commit, tried again while storage fails, but never if it went through."""
        properties = commit_properties(number)
        expected = self._mine.setdefault(table.table_uri, self._sequence(table))

        def attempt() -> None:
            # Delta refuses to commit beside what another run has committed since this handle last looked, but not after
            # what the handle has seen of it.
            if self._sequence(table) != expected:
                raise RunError(f"another run has taken over the tables of {self.output}; this one stops")
            try:
                write(properties)
            except (DeltaError, OSError) as error:
                if self._went_through(table, properties):
                    return
                if isinstance(error, CommitFailedError) and "oncurrent" in str(error):
                    raise RunError(f"another run has taken over the tables of {self.output}; this one stops") from error
                raise

        try:
            self._with_retries(attempt)
            self._with_retries(table.update_incremental)
        except (DeltaError, OSError) as error:
            raise RunError(f"cannot write the tables of {self.output}: {describe(error)}") from error
        self._mine[table.table_uri] = number

    def _went_through(self, table: DeltaTable, properties: CommitProperties) -> bool:
        """True if a commit that failed is in the log all the same.

        A conditional PUT whose acknowledgement is lost is sent again, and then fails against its own first try.
        """
        table.update_incremental()
        mark = (properties.custom_metadata or {})[COMMIT]
        return any(commit.get(COMMIT) == mark for commit in table.history(10))

    def _with_retries(self, action: Callable[[], _Result]) -> _Result:
        return self._storage.with_retries(self.output, action, also=(DeltaError,))

    def _add(self, table: DeltaTable, files: Iterable[DataFile], now: int, properties: CommitProperties) -> None:
        table.create_write_transaction(
            [add_action(file, now) for file in files],
            mode="append",
            schema=table.schema(),
            partition_by=table.metadata().partition_columns,
            commit_properties=properties,
        )

    def _read_back(self, block: WrittenBlock, mask: NDArray[np.bool_]) -> tuple[pa.Table, pa.Table]:
        """A block's written documents and entities, only those of the documents marked."""
        documents = pa.concat_tables([DOCUMENTS.empty_table(), *self._read("documents", block.documents)])
        documents = documents.filter(pa.array(mask))
        empty = entities_schema(self.partition_by).empty_table()
        entities = pa.concat_tables([empty, *self._read("entities", block.entities)])
        return documents, entities.filter(pc.is_in(entities["doc_id"], documents["doc_id"].combine_chunks()))

    def _read(self, name: str, files: Iterable[DataFile]) -> Iterator[pa.Table]:
        for file in files:
            with self._storage.open(join(self.path(name), file.path)) as stream:
                table = pq.read_table(stream)
            schema = DOCUMENTS if name == "documents" else entities_schema(self.partition_by)
            for column, value in file.partition.items():
                values = pa.repeat(pa.scalar(value, schema.field(column).type), table.num_rows)
                table = table.append_column(column, values)
            yield table.select(schema.names)

    def _overwrite(self, batch: list[tuple[pa.Table, pa.Table]]) -> int:
        """Put the batch's documents in place of those with their ids; returns how many."""
        documents = pa.concat_tables([DOCUMENTS.empty_table(), *(documents for documents, _ in batch)])
        empty = entities_schema(self.partition_by).empty_table()
        entities = pa.concat_tables([empty, *(entities for _, entities in batch)])
        if documents.num_rows == 0:
            return 0
        predicate = f"doc_id IN ({', '.join(_literal(doc_id) for doc_id in documents['doc_id'].to_pylist())})"
        documents = documents.filter(pc.not_equal(documents["status"], RETRACTED))
        self._commit(
            lambda properties: self._write_over(self._entities, entities, predicate, properties),
            lambda properties: self._write_over(self._documents, documents, predicate, properties),
        )
        return int(documents.num_rows)

    def _write_over(self, table: DeltaTable, rows: pa.Table, predicate: str, properties: CommitProperties) -> None:
        write_deltalake(table, rows, mode="overwrite", predicate=predicate, commit_properties=properties)


def _latest(rows: pa.Table) -> pa.Table:
    """Of rows of SHARDS the last run's of each shard; run ids begin with the time."""
    rows = rows.sort_by([("shard", "ascending"), ("run_id", "ascending")])
    names = rows["shard"].combine_chunks()
    last = pc.not_equal(names[:-1], names[1:]).to_numpy(zero_copy_only=False) if len(names) else np.empty(0, np.bool_)
    return rows.filter(pa.array(np.append(last, True)[: len(names)]))


def _held(batch: pa.RecordBatch, number: dict[str, int]) -> NDArray[np.void]:
    """Rows of `documents` as ledger entries."""
    shards = batch["shard"].dictionary_encode()
    numbers = np.array([number[shard] for shard in shards.dictionary.to_pylist()], np.int64)[shards.indices.to_numpy()]
    status = batch["status"]
    rejected, deleted = (pc.equal(status, s).to_numpy(zero_copy_only=False) for s in ("rejected", "deleted"))
    revisions = identity.revisions(batch["version"].to_numpy(), numbers, rejected)
    return entries(identity.id_hashes(batch["doc_id"].to_pylist()), batch["key"].to_numpy(), revisions, deleted)


def _literal(text: str) -> str:
    """A string literal of SQL; a doubled quote is the only escape that delta-rs's dialect knows."""
    return "'" + text.replace("'", "''") + "'"
