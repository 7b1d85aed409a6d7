"""One Delta table of an output, whose commits are numbered: a run knows its own, and is shut out by another's.

Every commit moves two of Delta's application transactions:

- SEQUENCE is a number that no other commit of the table has. Delta refuses a commit beside one that has moved it, and a
  handle refuses to go on from a number that it did not make.
- PAIR is the number of the last pair of commits, one to `entities` and one to `documents`, that the table has. Tables
  with one PAIR belong together; whatever moves no rows between documents (a fence, a compaction) leaves it.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Literal, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.logs import log
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.numbers import SEQUENCE, commit_properties, next_number, pair_of, pair_of_commit

ROWS_IN_GROUP = 64_000
"""Rows of a group in a rewritten file; what a query skips or reads at once."""

CHECKPOINT_AFTER = 20
"""Commits since the last checkpoint after which a run's end writes one; a night makes about seven."""

DELTAS_OWN = 100
"""The same in a partitioned table: `entities/*/*.parquet` takes a checkpoint, which is Parquet, for a file of data."""

WRITER = WriterProperties(compression="ZSTD", max_row_group_size=ROWS_IN_GROUP)
"""How delta-rs writes files; its own default is Snappy, which takes a third more."""

_BY_RUN = re.compile(r"(?P<run_id>\d{8}T\d{6}-[0-9a-f]{8})-")
"""How the names of files begin that a run's workers write (`blocks.write_file`)."""

_Result = TypeVar("_Result")


class TakenOverError(RunError):
    """Another run has begun on the same output."""

    def __init__(self, output: str) -> None:
        super().__init__(f"another run has taken over the tables of {output}; this one stops")


class NumberedTable:
    """A table opened for writing, or made if there is none.

    properties: those that a table which is made now gets

    Raises SettingsError if it is a table of another kind, StorageError if storage fails for too long.
    """

    def __init__(
        self,
        storage: Storage,
        output: str,
        name: str,
        schema: pa.Schema,
        partition_by: Sequence[str] = (),
        properties: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._storage = storage
        self._output = output
        self.path = join(output, name)
        self._options: dict[str, str] = {}
        self._delta = self.with_retries(lambda: self._open(schema, partition_by, properties))
        self._last = self._sequence()
        """The number of this handle's last commit, or of the last that it found."""
        self._opened_at: float | None = None
        """When this handle's fence was made, by the clock of storage."""

    def _open(self, schema: pa.Schema, partition_by: Sequence[str], properties: Mapping[str, str]) -> DeltaTable:
        options = self._options = self._storage.delta_options(self._output)
        try:
            table = DeltaTable(self.path, storage_options=options)
        except TableNotFoundError:
            return DeltaTable.create(
                self.path,
                schema,
                mode="ignore",
                partition_by=list(partition_by) or None,
                storage_options=options,
                configuration={"delta.dataSkippingStatsColumns": "doc_id", **properties},
                raise_if_key_not_exists=False,
            )
        missing = set(schema.names) - {field.name for field in table.schema().fields}
        if missing:
            raise SettingsError(f"{self.path} is a table of another kind: it lacks {', '.join(sorted(missing))}")
        return table

    @property
    def delta(self) -> DeltaTable:
        """The handle; opened again at the same version once its credentials have been renewed."""
        options = self._storage.delta_options(self._output)
        if options != self._options:
            version = self._delta.version()
            self._delta = self.with_retries(lambda: DeltaTable(self.path, version, options))
            self._options = options
        return self._delta

    @property
    def pair(self) -> int:
        """The number of the last pair of commits that the table has."""
        return pair_of(self.delta)

    @property
    def version(self) -> int:
        """Delta's version of the table, as this handle has left it."""
        return int(self.delta.version())

    @property
    def partition_by(self) -> tuple[str, ...]:
        """The columns that the table is partitioned by."""
        return tuple(self.delta.metadata().partition_columns)

    def count(self) -> int:
        """Rows, from the log."""
        return int(self.with_retries(self.delta.count))

    def read(self, columns: Sequence[str] | None = None, filter: Any = None) -> pa.Table:
        """Rows of the table."""
        return self.with_retries(lambda: self.delta.to_pyarrow_dataset().to_table(columns=columns, filter=filter))

    def iter_batches(self, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Columns of all rows, so many rows at once, in a table without partitions.

        A scan of Arrow's has no bound: it reads on while its reader works.
        """
        for file in self.files():
            with self._storage.open(join(self.path, file.path)) as source:
                read = pq.ParquetFile(source).iter_batches(batch_rows, columns=schema.names, use_threads=False)
                for batch in read:
                    yield from pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()

    def fence(self, tries: int = 5) -> None:
        """An empty commit, after which no other run's is taken. What others commit until then is taken in.

        Raises TakenOverError if others go on committing.
        """
        for left in reversed(range(tries)):
            self.with_retries(self.delta.update_incremental)
            self._last = self._sequence()
            try:
                self.commit_files((), self.pair)
            except TakenOverError:
                if not left:
                    raise
            else:
                break
        self._opened_at = self.with_retries(
            lambda: self._storage.modified(join(self.path, "_delta_log", f"{self.version:020}.json"))
        )

    @contextmanager
    def detecting_takeover(self) -> Iterator[None]:
        """Raise TakenOverError for what fails within after another run has begun: that one removes files."""
        try:
            yield
        except Exception as error:
            self.with_retries(self.delta.update_incremental)
            if self._sequence() != self._last:
                raise TakenOverError(self._output) from error
            raise

    def commit_files(self, files: Iterable[DataFile], pair: int, removed: Iterable[DataFile] = ()) -> None:
        """Commit files that are written, in place of some of the table's."""
        self._commit_actions(files, pair, "append", removed)

    def commit_rewrite(self, files: Iterable[DataFile], removed: Iterable[DataFile]) -> None:
        """Commit files that hold the rows of others, in their place; the pair stays, and no row changes."""
        self._commit_actions(files, self.pair, "append", removed, changes=False)

    def _commit_actions(
        self,
        files: Iterable[DataFile],
        pair: int,
        mode: Literal["append", "overwrite"],
        removed: Iterable[DataFile] = (),
        changes: bool = True,
    ) -> None:
        now = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [add_action(file, now, changes) for file in files]
        actions += [RemoveAction(file.path, changes, now, file.size, _values(file)) for file in removed]
        self.commit(
            lambda properties: self.delta.create_write_transaction(
                actions,
                mode=mode,
                schema=self.delta.schema(),
                partition_by=self.delta.metadata().partition_columns,
                commit_properties=properties,
            ),
            pair,
        )

    def files(self) -> list[DataFile]:
        """The files of the table."""
        actions = pa.table(self.delta.get_add_actions(flatten=True)).to_pylist()
        names = self.partition_by
        return [
            DataFile(
                unquote(action["path"]),  # the log spells paths as URLs do
                action["size_bytes"],
                action["num_records"],
                action.get("min.doc_id"),
                action.get("max.doc_id"),
                {name: action[f"partition.{name}"] for name in names},
            )
            for action in actions
        ]

    def replace_files(self, files: Iterable[DataFile]) -> None:
        """Commit files that workers have written in place of all that the table has; the pair stays."""
        self._commit_actions(files, self.pair, "overwrite")

    def append(self, rows: pa.Table, pair: int) -> None:
        """Write and commit rows."""
        self._write(rows, pair, mode="append")

    def overwrite(self, rows: pa.Table | pa.RecordBatchReader, pair: int, **how: Any) -> None:
        """Write rows in place of all, or of those that a `predicate` names."""
        self._write(rows, pair, mode="overwrite", **how)

    def _write(self, rows: pa.Table | pa.RecordBatchReader, pair: int, **how: Any) -> None:
        self.commit(
            lambda properties: write_deltalake(
                self.delta, rows, writer_properties=WRITER, commit_properties=properties, **how
            ),
            pair,
        )

    def roll_back(self, pair: int) -> None:
        """Take back the commit that is not of this pair, the half of another that a run left when it died.

        Raises SettingsError if the table was not in step before that commit either.
        """
        history = self.with_retries(self.delta.history)
        half = min((int(commit["version"]) for commit in history if pair_of_commit(commit) == self.pair), default=0)
        before = self.with_retries(
            lambda: DeltaTable(
                self.path, version=max(0, half - 1), storage_options=self._storage.delta_options(self._output)
            )
        )
        if pair_of(before) != pair:
            raise SettingsError(
                f"the tables of {self._output} are out of step (entities {self.pair}, documents {pair}): "
                "were they changed by hand?"
            )
        self.commit(lambda properties: self.delta.restore(half - 1, commit_properties=properties), pair)

    def vacuum(self, run_id: str, kept: Sequence[int] = ()) -> None:
        """Remove files that neither the table nor its `kept` versions refer to, but none of a run that began later.

        What the log says was replaced goes. Of files that no commit names, those go that this run or an earlier one
        wrote: their names say so, or they are older than this handle's fence.

        Raises TakenOverError if another run has begun, before anything is removed.
        """
        self.commit_files((), self.pair)  # fails if another run has begun, which a vacuum does not check
        how: dict[str, Any] = {"retention_hours": 0, "enforce_retention_duration": False}
        how["keep_versions"] = self._readable(kept) or None
        removed = self.with_retries(lambda: self.delta.vacuum(dry_run=False, **how))
        unnamed = set(self.with_retries(lambda: self.delta.vacuum(dry_run=True, full=True, **how))) - set(removed)
        self.delete_files([path for path in sorted(unnamed) if self._is_past(path, run_id)])

    def delete_files(self, paths: Sequence[str]) -> None:
        """Remove files below the table's folder that no commit has named."""
        self._storage.remove_files([join(self.path, path) for path in paths])

    def checkpoint(self) -> None:
        """Write a checkpoint if many commits have come since the last, and remove the log that Delta keeps no longer.

        Whoever opens the table reads each commit since the last checkpoint; delta-rs itself writes one per hundred.
        """
        last = join(self.path, "_delta_log", "_last_checkpoint")
        try:
            checkpoint = int(json.loads(self._storage.read_bytes(last))["version"])
        except FileNotFoundError:
            checkpoint = 0
        if self.version - checkpoint >= (DELTAS_OWN if self.partition_by else CHECKPOINT_AFTER):
            self.with_retries(self.delta.create_checkpoint)
            self.with_retries(self.delta.cleanup_metadata)

    def _is_past(self, path: str, run_id: str) -> bool:
        """True if a file that no commit names is of this run or of an earlier one."""
        named = _BY_RUN.match(path.rpartition("/")[2])
        if named:
            return named["run_id"] <= run_id
        try:
            modified = self.with_retries(lambda: self._storage.modified(join(self.path, path)))
        except FileNotFoundError:
            return False
        return self._opened_at is not None and modified < self._opened_at

    def _readable(self, versions: Sequence[int]) -> list[int]:
        """Those versions whose logs are still there."""
        found = []
        for version in versions:
            try:
                DeltaTable(self.path, version=version, storage_options=self._storage.delta_options(self._output))
            except DeltaError as error:
                log.warning("version %d of %s is not kept, its log is gone: %s", version, self.path, describe(error))
            else:
                found.append(version)
        return found

    def with_retries(self, action: Callable[[], _Result]) -> _Result:
        """The result of an action on the table, tried again while storage fails."""
        return self._storage.with_retries(self._output, action)

    def commit(self, write: Callable[[CommitProperties], Any], pair: int) -> None:
        """One commit, tried again while storage fails, but never if it went through.

        Raises TakenOverError if another run has begun, RunError if the table cannot be written.
        """
        number = next_number(self._last)
        properties = commit_properties(number, pair)

        def attempt() -> None:
            # Delta refuses to commit beside what another run has committed since this handle last looked, but not after
            # what the handle has seen of it.
            if self._sequence() != self._last:
                raise TakenOverError(self._output)
            try:
                write(properties)
            except (DeltaError, OSError) as error:
                # A conditional PUT whose acknowledgement is lost is sent again, and fails against its own first try.
                self.delta.update_incremental()
                if self._sequence() == number:
                    return
                if isinstance(error, CommitFailedError) and "oncurrent" in str(error):
                    raise TakenOverError(self._output) from error
                raise

        try:
            self.with_retries(attempt)
            self.with_retries(self.delta.update_incremental)
        except (DeltaError, OSError) as error:
            raise RunError(f"cannot write the tables of {self._output}: {describe(error)}") from error
        if self._sequence() == number:  # what found nothing to do has made no commit
            self._last = number

    def _sequence(self) -> int:
        return self.delta.transaction_version(SEQUENCE) or 0


def add_action(file: DataFile, now: int, changes: bool = True) -> AddAction:
    """The Delta action that adds a written file.

    now:     in milliseconds since 1970
    changes: false if its rows stood in other files before
    """
    stats = {
        "numRecords": file.rows,
        "minValues": {"doc_id": file.first_id},
        "maxValues": {"doc_id": file.last_id},
        "nullCount": {"doc_id": 0},
    }
    return AddAction(file.path, file.size, _values(file), now, changes, json.dumps(stats))


def _values(file: DataFile) -> dict[str, str | None]:
    """A file's partition as the log spells it."""
    return {name: None if value is None else str(value) for name, value in file.partition.items()}
