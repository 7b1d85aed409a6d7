"""One Delta table of an output, with numbered commits: a run recognizes its own, and another run fences it off.

Every commit sets two of Delta's application transactions:

- SEQUENCE is unique to the commit. Delta refuses a commit that is concurrent with one that has set it, and a handle
  refuses to commit after a number that it did not write itself.
- PAIR numbers the pairs of commits to `entities` and `documents`; tables with equal PAIR belong together. Commits that
  move no rows between documents, such as a fence or a compaction, keep it.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from craft_ray.core.errors import RunError, SettingsError
from craft_ray.core.logs import log
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile, partitions, write_file
from craft_ray.tables.files import add_action, check_log, data_files, paths_of, remove_action
from craft_ray.tables.numbers import PAIR, SEQUENCE, commit_properties, next_number, pair_of, pair_of_commit

ROW_GROUP_ROWS = 64_000
"""Rows of a row group in files that delta-rs writes; a query skips or reads a whole row group."""

MAX_FILE_ROWS = 1_000_000
"""Rows of a file that the driver writes."""

CHECKPOINT_AFTER = 20
"""Commits after the last checkpoint from which the end of a run writes one; a nightly run makes one to three."""

CHECKPOINT_AFTER_PARTITIONED = 100
"""The same for partitioned tables, where the glob `entities/*/*.parquet` would match a checkpoint in `_delta_log`."""

WRITER = WriterProperties(compression="ZSTD", max_row_group_size=ROW_GROUP_ROWS)
"""How delta-rs writes files; its default, Snappy, takes a third more space."""

_NO_CLEANUP = PostCommitHookProperties(cleanup_expired_logs=False)
"""Delta would list the log after each commit; `checkpoint` does so."""

_COUNTED_ROWS = 1 << 14
"""Rows of a batch while rows are counted."""

_FILE_OF_RUN = re.compile(r"(?P<run_id>\d{8}T\d{6}-[0-9a-f]{8})-")
"""Prefix of the names of files that the workers of a run write (`blocks.write_file`)."""

_Result = TypeVar("_Result")


class TakenOverError(RunError):
    """Another run has begun on the same output."""

    def __init__(self, output: str) -> None:
        super().__init__(f"another run has taken over the tables of {output}; this one stops")


class NumberedTable:
    """A table opened for writing. Creates it, with some table properties, if it does not exist.

    Raises SettingsError if an existing table lacks columns of the schema, StorageError if storage fails for too long.
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
        self._checkpoint = 0
        """The version of the last checkpoint."""
        self._delta = self.with_retries(lambda: self._open(schema, partition_by, properties))
        self._numbers = -1, 0, 0
        """A version of the table, and its SEQUENCE and PAIR."""
        self._last = self._sequence()
        """The SEQUENCE of the last commit that this handle has made or accepted."""
        self._fence: int | None = None
        """The version of this handle's fence."""

    def _open(self, schema: pa.Schema, partition_by: Sequence[str], properties: Mapping[str, str]) -> DeltaTable:
        options = self._options = self._storage.delta_options(self._output)
        self._checkpoint = check_log(self._storage, self.path)
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
        """The Delta handle, reopened at the same version when the credentials have changed."""
        options = self._storage.delta_options(self._output)
        if options != self._options:
            self._delta = self._at(self._delta.version())
            self._options = options
        return self._delta

    def _at(self, version: int) -> DeltaTable:
        options = self._storage.delta_options(self._output)
        return self.with_retries(lambda: DeltaTable(self.path, version, options))

    @property
    def pair(self) -> int:
        """The number of the last pair of commits."""
        return self._numbers_now()[1]

    @property
    def version(self) -> int:
        """Delta's version after the last commit of this handle."""
        return int(self.delta.version())

    @property
    def partition_by(self) -> tuple[str, ...]:
        """The partition columns."""
        return tuple(self.delta.metadata().partition_columns)

    def count(self) -> int:
        """The number of rows, from the log."""
        return int(self.with_retries(self.delta.count))

    def read(self, columns: Sequence[str] | None = None, filter: Any = None) -> pa.Table:
        """Read rows that match a filter."""
        return self.with_retries(lambda: self.delta.to_pyarrow_dataset().to_table(columns=columns, filter=filter))

    def count_by(self, columns: Mapping[str, Any], filter: Any) -> Counter[tuple[Any, ...]]:
        """Count the rows that match a filter by the values of some columns, a batch at a time."""

        def count() -> Counter[tuple[Any, ...]]:
            counts: Counter[tuple[Any, ...]] = Counter()
            options = {"batch_size": _COUNTED_ROWS, "batch_readahead": 1, "fragment_readahead": 1}
            for batch in self.delta.to_pyarrow_dataset().to_batches(columns=dict(columns), filter=filter, **options):
                groups = pa.table(batch).group_by([*columns]).aggregate([([], "count_all")])
                for group in groups.to_pylist():
                    counts[tuple(group[name] for name in columns)] += group["count_all"]
            return counts

        return self.with_retries(count)

    def iter_batches(self, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Stream columns of all rows of an unpartitioned table, `batch_rows` at a time.

        An Arrow scan would read ahead without bound while its consumer works.
        """
        for file in self.files():
            with self._storage.open(join(self.path, file.path), file.size) as source:
                read = pq.ParquetFile(source).iter_batches(batch_rows, columns=schema.names, use_threads=False)
                for batch in read:
                    yield from pa.Table.from_batches([batch]).select(schema.names).cast(schema).to_batches()

    def fence(self, tries: int = 5) -> None:
        """Make an empty commit after which the commits of all other runs fail. Accepts what others commit before it.

        Raises TakenOverError if others keep committing.
        """
        for left in reversed(range(tries)):
            self._last = self._sequence()
            try:
                self.commit_files((), self.pair)
                break
            except TakenOverError:
                if not left:
                    raise
        self._fence = self.version

    @contextmanager
    def detecting_takeover(self) -> Iterator[None]:
        """Raise TakenOverError for an error in the block if another run has begun, which may have removed files."""
        try:
            yield
        except Exception:  # Ray, Arrow, Delta and the system each have an error of their own for a missing file
            self.refuse_takeover()
            raise

    def refuse_takeover(self) -> None:
        """Raise TakenOverError if another run has begun."""
        self.with_retries(self.delta.update_incremental)
        if self._sequence() != self._last:
            raise TakenOverError(self._output)

    def commit_files(
        self, added: Iterable[DataFile], pair: int, removed: Iterable[DataFile] = (), data_change: bool = True
    ) -> None:
        """Commit written files, and remove others.

        data_change: False if the added files hold the rows of the removed ones, which readers of the log may skip
        """
        added = list(added)
        self._sync(added)
        now = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [add_action(file, now, data_change) for file in added]
        actions += [remove_action(file, now, data_change) for file in removed]
        self.commit(
            lambda properties: self.delta.create_write_transaction(
                actions,
                mode="append",
                schema=self.delta.schema(),
                partition_by=self.delta.metadata().partition_columns,
                commit_properties=properties,
                post_commithook_properties=_NO_CLEANUP,
            ),
            pair,
            always=True,
        )

    def files(self) -> list[DataFile]:
        """The files of the table."""
        actions = pa.table(self.delta.get_add_actions(flatten=True)).to_pylist()
        names = self.partition_by
        return [
            DataFile(
                unquote(action["path"]),  # paths in the log are URL-encoded
                action["size_bytes"],
                action["num_records"],
                action.get("min.doc_id"),
                action.get("max.doc_id"),
                {name: action[f"partition.{name}"] for name in names},
            )
            for action in actions
        ]

    def append(self, rows: pa.Table, pair: int) -> None:
        """Write rows and commit them."""
        self.commit_files(self._write(rows), pair)

    def overwrite(self, rows: pa.Table, pair: int) -> None:
        """Write rows and commit them in place of all others."""
        self.commit_files(self._write(rows), pair, self.files())

    def _write(self, rows: pa.Table) -> list[DataFile]:
        columns = self.partition_by
        parts = partitions(rows, columns) if columns else [({}, rows)]
        return [
            write_file(part.slice(start, MAX_FILE_ROWS), self._storage, self.path, "part", values)
            for values, part in parts
            for start in range(0, len(part), MAX_FILE_ROWS)
        ]

    def rewrite(self, rows: pa.RecordBatchReader, partition_by: Sequence[str], file_bytes: int) -> None:
        """Replace all rows by a stream of the same, partitioned by some columns.

        Holds one row group per partition in memory.
        """
        self.commit(
            lambda properties: write_deltalake(
                self.delta,
                rows,
                mode="overwrite",
                schema_mode="overwrite",
                partition_by=list(partition_by) or None,
                target_file_size=file_bytes,
                writer_properties=WRITER,
                commit_properties=properties,
            ),
            self.pair,
        )
        self._sync(self.files())  # the old files are there until they are vacuumed

    def roll_back(self, pair: int) -> None:
        """Restore the table to a pair, undoing half of a later pair that a dead run has left.

        Raises SettingsError if the table did not have this pair before either.
        """
        history = self.with_retries(self.delta.history)
        half = min((int(commit["version"]) for commit in history if pair_of_commit(commit) == self.pair), default=0)
        if pair_of(self._at(max(0, half - 1))) != pair:
            raise SettingsError(
                f"the tables of {self._output} are out of step (entities {self.pair}, documents {pair}): "
                "were they changed by hand?"
            )
        self.commit(lambda properties: self.delta.restore(half - 1, commit_properties=properties), pair)

    def vacuum(self, run_id: str, kept: Sequence[int] = ()) -> None:
        """Delete files that neither the table nor its `kept` versions refer to.

        Spares uncommitted files of a later run. A file that is not in the log is deleted only if its name is of this
        run or an earlier one, or, for other names, if it is older than this handle's fence.

        Raises TakenOverError if another run has begun, before anything is deleted.
        """
        self.refuse_takeover()
        referred = paths_of(self.delta).union(*map(self._paths_at, kept))
        strays = data_files(self._storage, self.path).keys() - referred
        if strays:
            # Delta's own deletion makes two more commits, which a power cut could lose one by one.
            options: dict[str, Any] = {"retention_hours": 0, "enforce_retention_duration": False}
            in_log = set(self.with_retries(lambda: self.delta.vacuum(dry_run=True, full=False, **options)))
            past = [path for path in sorted(strays) if path in in_log or self._is_past(path, run_id)]
            self._storage.remove_files([join(self.path, path) for path in past])

    def _paths_at(self, version: int) -> set[str]:
        """The files of a version, none if its log is gone."""
        try:
            return paths_of(self._at(version))
        except DeltaError as error:
            log.warning("version %d of %s is not kept, its log is gone: %s", version, self.path, describe(error))
            return set()

    def checkpoint(self) -> None:
        """Write a checkpoint if the last is many commits old, and delete expired log files.

        Opening a table reads each commit since the last checkpoint; delta-rs writes one only every hundred commits.
        """
        if self.version - self._checkpoint >= (CHECKPOINT_AFTER_PARTITIONED if self.partition_by else CHECKPOINT_AFTER):
            self.with_retries(self.delta.create_checkpoint)
            names = self._storage.names(join(self.path, "_delta_log"))
            self._storage.sync([name for name in names if "checkpoint" in name])
            self.with_retries(self.delta.cleanup_metadata)

    def _is_past(self, path: str, run_id: str) -> bool:
        """True if an uncommitted file is of this run or an earlier one."""
        named = _FILE_OF_RUN.match(path.rpartition("/")[2])
        if named or self._fence is None:
            return named is not None and named["run_id"] <= run_id
        try:
            modified = self._storage.modified(join(self.path, path))
        except FileNotFoundError:
            return False
        return modified < self._storage.modified(self._commit_file(self._fence))

    def _commit_file(self, version: int) -> str:
        return join(self.path, "_delta_log", f"{version:020}.json")

    def with_retries(self, action: Callable[[], _Result]) -> _Result:
        """Run an action on the table, with retries on transient storage errors."""
        return self._storage.with_retries(self._output, action)

    def commit(self, write: Callable[[CommitProperties], Any], pair: int, always: bool = False) -> None:
        """Make one commit, with retries on transient storage errors, but never twice.

        always: `write` makes a commit even if nothing changes

        Raises TakenOverError if another run has begun, RunError if the table cannot be written.
        """
        number, before = next_number(self._last), self.version
        properties = commit_properties(number, pair)

        def attempt() -> None:
            # Delta detects commits that this handle has not read yet, but not those that it has read.
            if self._sequence() != self._last:
                raise TakenOverError(self._output)
            try:
                write(properties)
            except (DeltaError, OSError) as error:
                # When the response to a conditional PUT is lost, its retry fails because the first attempt succeeded.
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
        if always and self.version == before + 1:  # then the one commit is this one
            self._numbers = self.version, number, pair
        if self._sequence() == number:  # a write without changes makes no commit
            self._last = number
            self._storage.sync([self._commit_file(self.version)])

    def _sync(self, files: Iterable[DataFile]) -> None:
        """Make files durable that a commit is going to name."""
        self._storage.sync([join(self.path, file.path) for file in files])

    def _sequence(self) -> int:
        return self._numbers_now()[0]

    def _numbers_now(self) -> tuple[int, int]:
        """SEQUENCE and PAIR at the version of this handle. delta-rs would read all commits of the log for each."""
        version = self.version
        if version != self._numbers[0]:
            try:
                commit = self._storage.read_bytes(self._commit_file(version))
            except FileNotFoundError:  # an old one, which is in a checkpoint
                commit = b""
            set_here = [action["txn"] for action in map(json.loads, commit.splitlines()) if "txn" in action]
            last = {transaction["appId"]: int(transaction["version"]) for transaction in set_here}
            missing = {name: self.delta.transaction_version(name) or 0 for name in (SEQUENCE, PAIR) if name not in last}
            last |= missing  # another program made the last commit
            self._numbers = version, last[SEQUENCE], last[PAIR]
        return self._numbers[1:]
