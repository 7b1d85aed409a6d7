"""The tables as readers see them: now, or as an earlier run left them, as far back as they are kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import ANCESTORS, CONCEPTS, SHARDS
from craft_ray.core.validation import nearest
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.numbers import pair_of, pair_of_commit
from craft_ray.tables.records import read_records
from craft_ray.tables.version import check_version

_BUFFER = 4 << 20
"""Bytes of a column that are fetched at once."""


@dataclass(frozen=True, slots=True)
class TableVersion:
    """One table at one version.

    size:  bytes of all its files
    rows:  rows of each of its files, by path
    label: the partition of each of its files, by path; empty for a table without partitions
    """

    dataset: ds.FileSystemDataset
    size: int
    rows: dict[str, int]
    label: dict[str, str]

    def files_not_in(self, other: "TableVersion") -> ds.FileSystemDataset:
        """Rows in files that another version does not have; equal rows that were only moved are in both."""
        fragments = [part for part in self.dataset.get_fragments() if part.path not in other.rows]
        return ds.FileSystemDataset(fragments, self.dataset.schema, self.dataset.format, self.dataset.filesystem)

    def rows_not_in(self, other: "TableVersion") -> int:
        """The number of rows in files that another version does not have."""
        return sum(rows for path, rows in self.rows.items() if path not in other.rows)

    def stream(
        self, columns: Sequence[str], wanted: ds.Expression, asked: Sequence[str], at_once: int
    ) -> pa.RecordBatchReader:
        """Some columns of the rows wanted, as they are read: `at_once` rows are in memory.

        A scan of the dataset has whole row groups there, and one may be the whole table. Files and row groups that can
        hold no row wanted are not read.

        asked: the columns that `wanted` asks for
        """
        schema = pa.schema([self.dataset.schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema, wanted, asked, at_once))

    def _batches(
        self, schema: pa.Schema, wanted: ds.Expression, asked: Sequence[str], at_once: int
    ) -> Iterator[pa.RecordBatch]:
        for part in self.dataset.get_fragments(wanted):
            keys = ds.get_partition_keys(part.partition_expression)
            groups = _groups_within(part, wanted, self.dataset.schema)
            columns = [name for name in dict.fromkeys((*schema.names, *asked)) if name not in keys]
            types = pa.schema([self.dataset.schema.field(name) for name in columns])
            with part.filesystem.open_input_file(part.path) as source:
                file = pq.ParquetFile(source, buffer_size=_BUFFER)
                for batch in file.iter_batches(at_once, groups, columns, use_threads=False):
                    rows = pa.Table.from_batches([batch]).select(columns).cast(types)
                    for name in keys.keys() & {*schema.names, *asked}:
                        rows = rows.append_column(name, pa.repeat(keys[name], rows.num_rows))
                    yield from rows.filter(wanted).select(schema.names).to_batches()

    def rows_by_label(self) -> dict[str, int]:
        """Rows of each partition, without reading any."""
        counts: dict[str, int] = {}
        for path, label in self.label.items():
            counts[label] = counts.get(label, 0) + self.rows[path]
        return counts


def _groups_within(part: ds.ParquetFileFragment, wanted: ds.Expression, schema: pa.Schema) -> list[int] | None:
    """The row groups of a file that may hold rows wanted; None for all.

    What delta-rs rewrites has `string_view` columns, whose statistics Arrow does not compare.
    """
    try:
        return [group.id for group in part.subset(wanted, schema=schema).row_groups]
    except pa.ArrowNotImplementedError:
        return None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Both tables at one moment.

    versions: Delta's version of each
    run_id:   the run that left them so; None where they were asked for by their version
    """

    versions: Mapping[str, int]
    run_id: str | None
    entities: TableVersion
    documents: TableVersion


def open_snapshot(storage: Storage, output: str, reference: str | None = None) -> Snapshot:
    """Both tables as one pair, also while a run commits.

    As they are, at a version of `documents`, or as a run left them.

    reference: a run id or its beginning, or a version

    Raises SettingsError if there is no such run or version, or its files are gone.
    """
    if reference is None or (reference.isdecimal() and len(reference) < 8):  # run ids begin with a date
        documents = _table(storage, output, "documents", None if reference is None else int(reference))
        return _snapshot(_entities_beside(storage, output, documents), documents, None)
    records = list(read_records(storage, output))
    found = [record for record in records if record["run_id"].startswith(reference)]
    if len(found) != 1:
        like = "" if found else nearest(reference, (record["run_id"] for record in records))
        raise SettingsError(
            f"{len(found) or 'no'} runs in {output} are named {reference}: `craft-ray runs` lists them{like}"
        )
    if not found[0].get("tables"):
        raise SettingsError(f"the run {found[0]['run_id']} did not come to an end, so there is no state that it left")
    return _at(storage, output, found[0]["tables"], found[0]["run_id"])


def open_versions(storage: Storage, output: str, versions: Mapping[str, int]) -> Snapshot:
    """The tables at a version each, as a snapshot named them.

    Raises SettingsError if files of these versions are gone.
    """
    return _at(storage, output, versions, None)


def open_shards(storage: Storage, output: str) -> ds.Dataset:
    """The table `shards` as it is now; without rows if an output of an older version has none."""
    if not storage.names(join(output, "shards", "_delta_log")):
        return ds.dataset(SHARDS.empty_table())
    return _table(storage, output, "shards", None).to_pyarrow_dataset()


def before_last_change(storage: Storage, output: str) -> str:
    """The run whose state the last run found that changed anything.

    Raises SettingsError if there is none.
    """
    ended = [record for record in read_records(storage, output) if record.get("tables")]
    changed = next((n for n, record in enumerate(ended) if record["status"] != "nothing_new"), len(ended))
    if changed + 1 >= len(ended):
        raise SettingsError(f"{output} has no two runs to compare")
    run_id: str = ended[changed + 1]["run_id"]
    return run_id


def _at(storage: Storage, output: str, versions: Mapping[str, int], run_id: str | None) -> Snapshot:
    entities, documents = (_table(storage, output, name, versions.get(name)) for name in ("entities", "documents"))
    return _snapshot(entities, documents, run_id)


def _snapshot(entities: DeltaTable, documents: DeltaTable, run_id: str | None) -> Snapshot:
    versions = {"entities": int(entities.version()), "documents": int(documents.version())}
    return Snapshot(versions, run_id, _view(entities), _view(documents))


def _table(storage: Storage, output: str, name: str, version: int | None) -> DeltaTable:
    path = join(output, name)
    try:
        table = storage.with_retries(
            output, lambda: DeltaTable(path, version=version, storage_options=storage.delta_options(output))
        )
        check_version(table, output)
        return table
    except (DeltaError, OSError) as error:
        which = "no table" if version is None else f"no version {version} of the table"
        raise SettingsError(f"there is {which} at {path}: {describe(error)}") from error


def _view(table: DeltaTable) -> TableVersion:
    actions: list[dict[str, Any]] = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return TableVersion(
        table.to_pyarrow_dataset(),
        sum(action["size_bytes"] for action in actions),
        {action["path"]: action["num_records"] for action in actions},
        {action["path"]: action["partition.label"] for action in actions if "partition.label" in action},
    )


def _entities_beside(storage: Storage, output: str, documents: DeltaTable) -> DeltaTable:
    """The table `entities` at the version that belongs to one of `documents`: commits come in pairs (`writer`).

    Raises SettingsError if the log of `entities` does not reach back so far.
    """
    pair = pair_of(documents)
    table = _table(storage, output, "entities", None)
    if pair_of(table) == pair:
        return table
    version = int(table.version())
    for commit in table.history():
        moved = pair_of_commit(commit)
        if moved == pair:
            return _table(storage, output, "entities", version)
        if moved is not None:
            version = int(commit["version"]) - 1
    raise SettingsError(f"the version {documents.version()} of {output} has no entities beside it any more")


def open_concepts(storage: Storage, output: str) -> dict[str, ds.Dataset]:
    """The tables `concepts` and `ancestors` as they are; empty where an output has none."""
    found = {}
    for name, schema in (("concepts", CONCEPTS), ("ancestors", ANCESTORS)):
        exists = storage.names(join(output, name, "_delta_log"))
        found[name] = (
            _table(storage, output, name, None).to_pyarrow_dataset() if exists else ds.dataset(schema.empty_table())
        )
    return found


def texts_of(storage: Storage, output: str, doc_ids: Sequence[str]) -> dict[str, str | None]:
    """The texts of some documents, None where it was not kept.

    Raises SettingsError if there are no tables.
    """
    documents = _view(_table(storage, output, "documents", None))
    wanted = ds.field("doc_id").isin(pa.array(doc_ids, pa.string()))
    texts: dict[str, str | None] = {}
    for batch in documents.dataset.to_batches(columns=["doc_id", "text"], filter=wanted, batch_size=1_000):
        texts.update(zip(batch["doc_id"].to_pylist(), batch["text"].to_pylist(), strict=True))
    return texts


def tables_exist(storage: Storage, output: str) -> bool:
    """True if an output has tables already."""
    return bool(storage.names(join(output, "documents", "_delta_log")))


def read_entities(storage: Storage, output: str, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` entities of an output, in order of documents and offsets.

    Raises SettingsError if there are no tables.
    """
    dataset = open_snapshot(storage, output).entities.dataset
    rows = dataset.head(100_000).sort_by([("doc_id", "ascending"), ("start", "ascending")])
    result: list[dict[str, Any]] = rows.slice(0, limit).to_pylist()
    return result
