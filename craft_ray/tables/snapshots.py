"""One table of an output at one version, read as data frames, as a stream of batches, or file by file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from craft_ray.core.errors import SettingsError
from craft_ray.core.highlight import html_table
from craft_ray.core.validation import nearest
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.numbers import pair_of, pair_of_commit
from craft_ray.tables.version import check_version

if TYPE_CHECKING:
    import pandas
    import polars

PREVIEW_ROWS = 10
"""Rows of a table that a notebook shows."""

_READ_BUFFER = 4 << 20


@dataclass(frozen=True, slots=True, repr=False)
class TableSnapshot:
    """One table at one version. `len()` is its number of rows, taken from the Delta log.

    All ways to read it take `columns` (all by default) and `where`, an Arrow expression such as
    `pyarrow.dataset.field("label") == "Protein"`, and read nothing else. An unknown column raises SettingsError.

    rows:   number of rows of each file, by path
    labels: label of each file, by path; empty for a table that is not partitioned
    size:   bytes of all files
    """

    name: str
    dataset: ds.Dataset
    rows: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int = 0

    def __len__(self) -> int:
        return sum(self.rows.values())

    def to_arrow(self, columns: list[str] | None = None, where: ds.Expression | None = None) -> pa.Table:
        names = self.dataset.schema.names
        if unknown := [name for name in columns or () if name not in names]:
            raise SettingsError(f"the table {self.name} has no column {unknown[0]}{nearest(unknown[0], names)}")
        return self.dataset.to_table(columns=columns, filter=where)

    def to_pandas(self, columns: list[str] | None = None, where: ds.Expression | None = None) -> "pandas.DataFrame":
        """Raises SettingsError if pandas is not installed."""
        _require("pandas")
        return self.to_arrow(columns, where).to_pandas()

    def to_polars(self, columns: list[str] | None = None, where: ds.Expression | None = None) -> "polars.DataFrame":
        """Raises SettingsError if Polars is not installed."""
        frame: polars.DataFrame = _require("polars").from_arrow(self.to_arrow(columns, where))
        return frame

    def stream(self, columns: Sequence[str], where: ds.Expression, batch_rows: int) -> pa.RecordBatchReader:
        """The matching rows in batches of at most `batch_rows`, one of which is in memory at a time.

        Arrow's own scanner decodes whole row groups, and a row group may be as large as the table. Files and row groups
        whose statistics exclude a match are not read.

        where: may use only `columns`
        """
        schema = pa.schema([self.dataset.schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema, where, batch_rows))

    def _batches(self, schema: pa.Schema, where: ds.Expression, batch_rows: int) -> Iterator[pa.RecordBatch]:
        for fragment in self.dataset.get_fragments(where):
            partition = ds.get_partition_keys(fragment.partition_expression)
            stored = pa.schema([column for column in schema if column.name not in partition])
            groups = _matching_row_groups(fragment, where, self.dataset.schema)
            with fragment.filesystem.open_input_file(fragment.path) as source:
                file = pq.ParquetFile(source, buffer_size=_READ_BUFFER)
                for batch in file.iter_batches(batch_rows, groups, stored.names, use_threads=False):
                    rows = pa.Table.from_batches([batch]).select(stored.names).cast(stored)
                    for name in partition.keys() & {*schema.names}:
                        value = pa.scalar(partition[name], schema.field(name).type)
                        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
                    yield from rows.filter(where).select(schema.names).to_batches()

    def rows_by_label(self) -> dict[str, int]:
        """Number of rows of each label, from the Delta log."""
        counts: dict[str, int] = {}
        for path, label in self.labels.items():
            counts[label] = counts.get(label, 0) + self.rows[path]
        return counts

    def files_not_in(self, other: "TableSnapshot") -> ds.FileSystemDataset:
        """The rows of files that another version does not have. Equal rows that a compaction moved are in both."""
        return self.files(part for part in self.dataset.get_fragments() if part.path not in other.rows)

    def rows_not_in(self, other: "TableSnapshot") -> int:
        """The number of rows in `files_not_in`, from the Delta log."""
        return sum(rows for path, rows in self.rows.items() if path not in other.rows)

    def files(self, fragments: Iterable[ds.ParquetFileFragment]) -> ds.FileSystemDataset:
        """The rows of some files of this table."""
        return ds.FileSystemDataset(list(fragments), self.dataset.schema, self.dataset.format, self.dataset.filesystem)

    def __repr__(self) -> str:
        return f"{self.name}: {len(self):,} rows; columns {', '.join(self.dataset.schema.names)}"

    def _repr_html_(self) -> str:
        rows = self.dataset.head(PREVIEW_ROWS).to_pylist()
        return html_table(self.dataset.schema.names, rows, f"{self.name}: {PREVIEW_ROWS} of {len(self):,} rows")


def read_table(storage: Storage, location: str, name: str) -> TableSnapshot:
    """The latest version of one table of an output.

    Raises SettingsError if there is no such table.
    """
    return snapshot(open_table(storage, location, name), name)


def open_table(storage: Storage, location: str, name: str, version: int | None = None) -> DeltaTable:
    """One table of an output at a version, by default the latest.

    Raises SettingsError if there is no such table or version, or if a later craft_ray wrote it.
    """
    path = join(location, name)
    try:
        table = storage.with_retries(
            location, lambda: DeltaTable(path, version=version, storage_options=storage.delta_options(location))
        )
        check_version(table, location)
        return table
    except (DeltaError, OSError) as error:
        missing = "no table" if version is None else f"no version {version} of the table"
        raise SettingsError(f"there is {missing} at {path}: {describe(error)}") from error


def snapshot(table: DeltaTable, name: str) -> TableSnapshot:
    files: list[dict[str, Any]] = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return TableSnapshot(
        name,
        table.to_pyarrow_dataset(),
        rows={file["path"]: file["num_records"] for file in files},
        labels={file["path"]: file["partition.label"] for file in files if "partition.label" in file},
        size=sum(file["size_bytes"] for file in files),
    )


def matching_entities(storage: Storage, location: str, documents: DeltaTable) -> DeltaTable:
    """The table `entities` at the version that was committed as a pair with a version of `documents`.

    Raises SettingsError if the log of `entities` does not go back that far.
    """
    pair = pair_of(documents)
    table = open_table(storage, location, "entities")
    if pair_of(table) == pair:
        return table
    version = int(table.version())
    for commit in table.history():
        committed = pair_of_commit(commit)
        if committed == pair:
            return open_table(storage, location, "entities", version)
        if committed is not None:
            version = int(commit["version"]) - 1
    raise SettingsError(f"the entities of version {documents.version()} of {location} are no longer in the log")


def texts_of(storage: Storage, location: str, doc_ids: Sequence[str]) -> dict[str, str | None]:
    """The texts of some documents by id, None for a text that was not kept.

    Raises SettingsError if there are no tables.
    """
    documents = read_table(storage, location, "documents").dataset
    texts: dict[str, str | None] = {}
    for batch in documents.to_batches(columns=["doc_id", "text"], filter=_has_id(doc_ids), batch_size=1_000):
        texts.update(zip(batch["doc_id"].to_pylist(), batch["text"].to_pylist(), strict=True))
    return texts


def mentions_of(storage: Storage, location: str, doc_ids: Sequence[str], labels: Sequence[str]) -> pa.Table:
    """The mentions of some labels in some documents: columns doc_id, label, mention and start."""
    has_label = ds.field("label").isin(pa.array(labels, pa.string()))
    columns = ["doc_id", "label", "mention", "start"]
    return read_table(storage, location, "entities").to_arrow(columns, has_label & _has_id(doc_ids))


def _has_id(doc_ids: Sequence[str]) -> ds.Expression:
    """Arrow skips row groups by bounds, but not by a list of more than 50 ids."""
    doc_id = ds.field("doc_id")
    return (doc_id >= min(doc_ids)) & (doc_id <= max(doc_ids)) & doc_id.isin(pa.array(doc_ids, pa.string()))


def _matching_row_groups(fragment: ds.ParquetFileFragment, where: ds.Expression, schema: pa.Schema) -> list[int] | None:
    """Indices of the row groups that may hold a match, or None for all.

    Files rewritten by delta-rs have `string_view` columns, whose statistics Arrow cannot compare.
    """
    try:
        return [group.id for group in fragment.subset(where, schema=schema).row_groups]
    except pa.ArrowNotImplementedError:
        return None


def _require(package: str) -> Any:
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise SettingsError(f"{package} is not installed: pip install {package}") from error
