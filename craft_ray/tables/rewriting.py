"""Files of a table written again as other files, such as several as one, in order of their documents.

Each rewrite is a task of its own that gives files which no table refers to yet, so it may run on any node, and twice.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from craft_ray.core.errors import RunError
from craft_ray.storage.addresses import join
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile, partition_folder
from craft_ray.tables.database import database

FILE = 16 << 20
"""Bytes of the files that small ones become. The larger they are, the more a revision makes a run write again."""

AT_ONCE, MEMORY = 256 << 20, "1GB"
"""Bytes of the files that one merge takes together, and the memory in which it sorts them, else on disk."""

THREADS = 2
"""Threads of one merge; on a cluster many run at once."""

FEW = 4
"""Files that are read one by one for a few documents, if together they are not larger than a GROUP."""

GROUP, FEWEST, MOST = 4 << 20, 1_000, 64_000
"""Bytes of a row group, which a reader skips or reads whole, and its rows at the least and at the most."""


@dataclass(frozen=True, slots=True)
class TableLocation:
    """The table whose files are written again, for a task on any node.

    schema: of its rows, with the columns that its partitions hold
    run_id: the run whose name the new files bear
    """

    storage: Storage
    folder: str
    schema: pa.Schema
    run_id: str

    def new_path(self, file: DataFile) -> str:
        """A path below the folder that no other file has, in the partition of a file."""
        return f"{partition_folder(file.partition)}{self.run_id}-{uuid.uuid4().hex}.parquet"

    def columns(self, file: DataFile) -> pa.Schema:
        """The columns that files of a partition hold."""
        return pa.schema([field for field in self.schema if field.name not in file.partition])

    def order(self, file: DataFile) -> list[str]:
        """The columns by which rows are sorted within a file."""
        return [name for name in ("doc_id", "start") if name in self.columns(file).names]

    def rows(self, files: Sequence[DataFile]) -> ds.Dataset:
        """The rows of files of one partition."""
        paths = [join(self.folder, file.path) for file in files]
        filesystem, _ = self.storage.arrow_filesystem(paths[0])
        within = [self.storage.arrow_filesystem(path)[1] for path in paths]
        return ds.dataset(within, self.columns(files[0]), format="parquet", filesystem=filesystem)


class Rewrite(Protocol):
    """Files that take the place of others."""

    @property
    def files(self) -> Sequence[DataFile]:
        """The files to be replaced."""

    def run(self) -> Sequence[DataFile]:
        """Write what takes their place; the same files if nothing need be written."""


Runner = Callable[[Sequence[Rewrite]], Iterable[Sequence[DataFile]]]
"""Runs rewrites, here or on a cluster; gives the files of each, in order."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a table: files that it gets and loses, and paths of files that are needed no more for it."""

    added: Sequence[DataFile]
    removed: Sequence[DataFile] = ()
    unused: Sequence[str] = ()


def rewritten(rewrites: Sequence[Rewrite], run_all: Runner, stopped: Callable[[], bool] = lambda: False) -> Change:
    """The change that rewrites make; of those that have run when it is stopped."""
    added: list[DataFile] = []
    removed: list[DataFile] = []
    for rewrite, files in zip(rewrites, run_all(rewrites), strict=True):
        if tuple(files) != tuple(rewrite.files):
            added += files
            removed += rewrite.files
        if stopped():
            break
    return Change(added, removed)


def run_locally(rewrites: Sequence[Rewrite]) -> Iterator[Sequence[DataFile]]:
    """Run rewrites one after the other."""
    return (rewrite.run() for rewrite in rewrites)


@dataclass(frozen=True, slots=True)
class Compaction:
    """Files of one partition as new ones of about `file_bytes`, their rows sorted by document."""

    location: TableLocation
    files: Sequence[DataFile]
    file_bytes: int

    def run(self) -> Sequence[DataFile]:
        """Write the new files.

        Raises RunError if they do not hold as many rows as the old.
        """
        rows, size = sum(file.rows for file in self.files), sum(file.size for file in self.files)
        in_file = -(-rows // max(1, round(size / self.file_bytes)))
        in_group = min(MOST, max(FEWEST, GROUP * rows // size))
        schema = self.location.columns(self.files[0])
        order = ", ".join(f'"{name}"' for name in self.location.order(self.files[0]))
        with database(files=self.location.rows(self.files)) as connection:
            connection.execute(f"SET memory_limit = '{MEMORY}'")
            connection.execute(f"SET threads = {THREADS}")
            sorted_rows = connection.sql(f"FROM files ORDER BY {order}").to_arrow_reader(in_group)
            written = [self._write(part, schema) for part in _in_files(sorted_rows, in_file)]
        if sum(file.rows for file in written) != rows:
            raise RunError(f"{sum(file.rows for file in written)} rows were read of files of {rows}")
        return written

    def _write(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> DataFile:
        path = self.location.new_path(self.files[0])
        first = last = ""
        rows = 0
        with self.location.storage.publishing(join(self.location.folder, path)) as sink:
            with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
                for batch in batches:
                    part = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
                    writer.write_table(part)
                    first = first or part["doc_id"][0].as_py()
                    last = part["doc_id"][-1].as_py()
                    rows += part.num_rows
            size = sink.tell()
        return DataFile(path, size, rows, first, last, self.files[0].partition)


def _in_files(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[Iterator[pa.RecordBatch]]:
    """Batches for one file after the other, of so many rows each; each must be used up before the next is asked for."""
    left = (batch for batch in batches if batch.num_rows)
    held = next(left, None)

    def one_file() -> Iterator[pa.RecordBatch]:
        nonlocal held
        room = rows
        while held is not None and room:
            part = held.slice(0, room)
            room -= part.num_rows
            held = held.slice(part.num_rows) if part.num_rows < held.num_rows else next(left, None)
            yield part

    for _ in count():
        if held is None:
            return
        yield one_file()


def plan_compaction(location: TableLocation, files: Iterable[DataFile]) -> list[Compaction]:
    """The merges of a table's small files, those of less than half a FILE, within each partition.

    So what a night adds is written again with no more than half a FILE beside it.
    """
    small = [file for file in files if file.size < FILE // 2]
    return [Compaction(location, group, FILE) for group in _neighbours(small) if len(group) > 1]


def sorting(location: TableLocation, files: Iterable[DataFile]) -> tuple[list[DataFile], list[Compaction]]:
    """Those of files that are few and small, and merges of the others, after which each covers few ids.

    So whoever looks for some of their documents opens few of them, and reads little.
    """
    as_they_are: list[DataFile] = []
    others: list[Compaction] = []
    for group in _neighbours(files):
        if len(group) <= FEW and sum(file.size for file in group) <= GROUP:
            as_they_are += group
        else:
            others.append(Compaction(location, group, FILE))
    return as_they_are, others


def by_partition(files: Iterable[DataFile]) -> list[list[DataFile]]:
    """The files of each partition."""
    members: dict[tuple[object, ...], list[DataFile]] = defaultdict(list)
    for file in files:
        members[tuple(file.partition.values())].append(file)
    return list(members.values())


def _neighbours(files: Iterable[DataFile]) -> Iterator[list[DataFile]]:
    """The files of each partition whose documents follow each other, AT_ONCE bytes together.

    So each file that they become covers few ids, and a later revision touches few files.
    """
    for members in by_partition(files):
        group: list[DataFile] = []
        size = 0
        for file in sorted(members, key=lambda file: file.first_id or ""):
            group.append(file)
            size += file.size
            if size >= AT_ONCE:
                yield group
                group, size = [], 0
        if group:
            yield group
