"""Rewriting files of a table: what a rewrite is, and compaction, which makes small files into large sorted ones.

Each rewrite returns files that no table refers to yet, so it can run on any node and more than once.
"""

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from craft_ray.core.errors import RunError
from craft_ray.storage.addresses import join
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import DataFile, partition_folder

FILE = 16 << 20
"""Bytes of a compacted file. Larger files would make a run rewrite more for each revision."""

MAX_INPUT, MEMORY = 256 << 20, "1GB"
"""Bytes of the files that one compaction takes, and the memory in which DuckDB sorts them before it spills."""

THREADS = 2
"""Threads of one compaction, as many of them run on a cluster."""

FEW = 4
"""Number of new files, up to ROW_GROUP bytes together, that are read without being sorted first."""

ROW_GROUP, MIN_ROWS, MAX_ROWS = 4 << 20, 1_000, 64_000
"""Bytes of a row group and bounds of its rows; a reader skips or reads a whole row group."""


@dataclass(frozen=True, slots=True)
class TableLocation:
    """Where a rewrite, on any node, finds the files of a table and writes new ones.

    schema: all columns of the table, partition columns included
    run_id: the run that new files are named after
    """

    storage: Storage
    folder: str
    schema: pa.Schema
    run_id: str

    def new_path(self, file: DataFile) -> str:
        """A new unique path, below the folder, in the partition of a file."""
        return f"{partition_folder(file.partition)}{self.run_id}-{uuid.uuid4().hex}.parquet"

    def columns(self, file: DataFile) -> pa.Schema:
        """The columns that a file itself holds, which are all but those of its partition."""
        return pa.schema([field for field in self.schema if field.name not in file.partition])

    def order(self, file: DataFile) -> list[str]:
        """The columns that sort the rows of a file."""
        return [name for name in ("doc_id", "start") if name in self.columns(file).names]

    def rows(self, files: Sequence[DataFile]) -> ds.Dataset:
        """The rows of files of one partition."""
        return self.dataset((file.path for file in files), self.columns(files[0]))

    def dataset(self, paths: Iterable[str], columns: pa.Schema) -> ds.Dataset:
        """Columns of the files with some paths below the folder."""
        filesystem, _ = self.storage.arrow_filesystem(self.folder)
        within = [self.storage.arrow_filesystem(join(self.folder, path))[1] for path in paths]
        return ds.dataset(within, columns, format="parquet", filesystem=filesystem)


class Rewrite(Protocol):
    """Files of a table that are written again."""

    @property
    def files(self) -> Sequence[DataFile]:
        """The files to be replaced."""

    def run(self) -> Sequence[DataFile]:
        """Write and return the new files, or return the same files if nothing changes."""


Runner = Callable[[Sequence[Rewrite]], Iterator[Sequence[DataFile]]]
"""Runs rewrites in this process or on a cluster, and yields the files of each in order."""


def run_locally(rewrites: Sequence[Rewrite]) -> Iterator[Sequence[DataFile]]:
    """Run rewrites one after the other in this process."""
    return (rewrite.run() for rewrite in rewrites)


@dataclass(frozen=True, slots=True)
class Compaction:
    """Files of one partition rewritten as files of about `file_bytes` with rows sorted by document."""

    location: TableLocation
    files: Sequence[DataFile]
    file_bytes: int

    def run(self) -> Sequence[DataFile]:
        """Write and return the new files.

        Raises RunError if they have more or fewer rows than the old ones.
        """
        from craft_ray.tables.database import database  # imports DuckDB, which few runs need

        rows, size = sum(file.rows for file in self.files), sum(file.size for file in self.files)
        file_rows = -(-rows // max(1, round(size / self.file_bytes)))
        group_rows = min(MAX_ROWS, max(MIN_ROWS, ROW_GROUP * rows // size))
        order = ", ".join(f'"{name}"' for name in self.location.order(self.files[0]))
        with database(files=self.location.rows(self.files)) as connection:
            connection.execute(f"SET memory_limit = '{MEMORY}'")
            connection.execute(f"SET threads = {THREADS}")
            batches = connection.sql(f"FROM files ORDER BY {order}").to_arrow_reader(group_rows)
            written = [self._write(part) for part in _split(batches, file_rows)]
        if sum(file.rows for file in written) != rows:
            raise RunError(f"{sum(file.rows for file in written)} rows were read of files of {rows}")
        return written

    def _write(self, batches: Iterable[pa.RecordBatch]) -> DataFile:
        path, schema = self.location.new_path(self.files[0]), self.location.columns(self.files[0])
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


def _split(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[Iterator[pa.RecordBatch]]:
    """Split a stream into streams of `rows` rows; each must be consumed before the next is requested."""
    stream = (batch for batch in batches if batch.num_rows)
    pending = next(stream, None)

    def one_part() -> Iterator[pa.RecordBatch]:
        nonlocal pending
        room = rows
        while pending is not None and room:
            part = pending.slice(0, room)
            room -= part.num_rows
            pending = pending.slice(part.num_rows) if part.num_rows < pending.num_rows else next(stream, None)
            yield part

    while pending is not None:
        yield one_part()


def plan_compaction(location: TableLocation, files: Iterable[DataFile]) -> list[Compaction]:
    """Compactions of the small files of a table, those below half of FILE, within each partition.

    The documents of one night are therefore rewritten together with at most half of FILE of others.
    """
    small = [file for file in files if file.size < FILE // 2]
    return [Compaction(location, group, FILE) for group in _neighbours(small) if len(group) > 1]


def plan_sorting(location: TableLocation, files: Iterable[DataFile]) -> tuple[list[DataFile], list[Compaction]]:
    """Split new files into those of small groups, which can be searched as they are, and compactions of the others.

    Afterwards each file covers few ids, so that a search for some documents reads little.
    """
    small: list[DataFile] = []
    compactions: list[Compaction] = []
    for group in _neighbours(files):
        if len(group) <= FEW and sum(file.size for file in group) <= ROW_GROUP:
            small += group
        else:
            compactions.append(Compaction(location, group, FILE))
    return small, compactions


def by_partition(files: Iterable[DataFile]) -> list[list[DataFile]]:
    """The files of each partition."""
    members: dict[tuple[object, ...], list[DataFile]] = defaultdict(list)
    for file in files:
        members[tuple(file.partition.values())].append(file)
    return list(members.values())


def _neighbours(files: Iterable[DataFile]) -> Iterator[list[DataFile]]:
    """Groups of about MAX_INPUT bytes of files with neighbouring documents, within each partition."""
    for members in by_partition(files):
        group: list[DataFile] = []
        size = 0
        for file in sorted(members, key=lambda file: file.first_id or ""):
            group.append(file)
            size += file.size
            if size >= MAX_INPUT:
                yield group
                group, size = [], 0
        if group:
            yield group
