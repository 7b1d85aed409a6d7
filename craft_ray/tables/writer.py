"""The tables `entities` and `documents`, in step, and `shards`: Delta tables that one run at a time commits to.

Rows come in pairs of commits, first to `entities`, then to `documents`, and both carry one number (`delta.PAIR`), which
no other pair has. From this follows:

- A run begins with a fence in each table, `documents` first. After it no other run's second half is taken, so whether
  `entities` is a half ahead can be told for good; if it is, that half is taken back.
- An earlier run that is still alive, or wakes up, stops with a clear error before it can mix anything in.
- Files are written by workers but count only once the driver commits them.
- A shard is recorded as finished after its documents, so what `shards` holds is true whatever dies.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import DOCUMENTS, ENTITIES, LABEL, SHARDS, entities_schema
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import RETRACTED, DataFile, WrittenBlock, best
from craft_ray.tables.delta import NumberedTable
from craft_ray.tables.ledger import Outcome, admitted
from craft_ray.tables.numbers import next_number
from craft_ray.tables.replacing import Replacement, removals, replacing
from craft_ray.tables.rewriting import Compaction, Runner, TableLocation, plan_compaction, rewritten, run_locally
from craft_ray.tables.version import check_version, id_hasher, new_properties

SHARD_FILES = 16
"""Files of `shards` above which it is written anew as one; each run adds some."""

_BATCH = 1 << 14
"""Rows of `shards` that are looked at at once."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Documents that are written, and the files that hold their rows.

    revised: ids of those among them that the tables may hold; and of those that are only to be removed
    """

    revised: pa.Array
    documents: list[DataFile]
    entities: list[DataFile]


class Tables:
    """The tables of one output, opened for writing; any earlier run is shut out.

    run_id:  the run whose uncommitted files are removed at its end
    run_all: runs what rewrites files, here or on a cluster

    Raises SettingsError if they cannot be opened or are not ours, StorageError if storage fails for too long.
    """

    def __init__(self, storage: Storage, output: str, run_id: str = "unnamed", run_all: Runner = run_locally) -> None:
        self._storage = storage
        self._run_all = run_all
        self.output = output
        self._run_id = run_id
        self.small_files = 0
        """Files that were appended since small ones were last merged."""
        try:
            self.entities = NumberedTable(storage, output, "entities", ENTITIES, [LABEL])
            self.documents = NumberedTable(storage, output, "documents", DOCUMENTS, properties=new_properties())
            self.shards = NumberedTable(storage, output, "shards", SHARDS)
            check_version(self.documents.delta, output)
            self.ids = id_hasher(self.documents.delta)
            self._begin()
        except (DeltaError, OSError) as error:
            raise SettingsError(f"cannot open the tables of {output}: {describe(error)}") from error

    def _begin(self) -> None:
        """Shut out other runs, and bring `entities` in step if one died between the commits of a pair."""
        self.documents.fence()
        pair = self.documents.pair
        if self.shards.pair > pair:
            raise SettingsError(
                f"the table shards of {self.output} knows more than documents does ({self.shards.pair}, {pair}): were "
                "they changed by hand? Without shards all input is read anew"
            )
        self.entities.fence()
        if self.entities.pair != pair:
            self.entities.roll_back(pair)
        self.shards.fence()

    @property
    def by_name(self) -> dict[str, NumberedTable]:
        """The three tables."""
        return {"entities": self.entities, "documents": self.documents, "shards": self.shards}

    @property
    def partition_by(self) -> tuple[str, ...]:
        """The columns that `entities` is partitioned by."""
        return self.entities.partition_by

    def path(self, name: str) -> str:
        """The folder of a table."""
        return join(self.output, name)

    def append(self, blocks: Sequence[WrittenBlock]) -> None:
        """Commit blocks whose documents are all new.

        Raises RunError if another run has taken over.
        """
        pair = next_number(self.documents.pair)
        self.entities.commit_files((file for block in blocks for file in block.entities), pair)
        self.documents.commit_files((file for block in blocks for file in block.documents), pair)
        self.small_files += sum(len(block.entities) + len(block.documents) for block in blocks)

    def replace(self, blocks: Sequence[WrittenBlock], outcomes: Sequence[NDArray[np.int8]]) -> int:
        """Commit the documents of blocks that are new, and those revised, in place of what the tables hold of them.

        Of documents with one id the best revision is taken. All goes in one pair of commits, so that no file of the
        tables is written twice. Returns how many documents were written.

        outcomes: of each block's documents (`ledger.Outcome`); those that are neither new nor revised are left out
        """
        every = np.concatenate([block.entries for block in blocks])
        outcome = np.concatenate(outcomes)
        candidates = np.flatnonzero(admitted(outcome))
        winners = np.full(len(every), False)
        winners[candidates[best(every[candidates])]] = True
        edges = np.cumsum([len(block.entries) for block in blocks])[:-1]
        revised = winners & (outcome == Outcome.REVISED)
        masks = zip(np.split(winners, edges), np.split(revised, edges), strict=True)
        with self.documents.detecting_takeover():
            return self._replace_by(
                [self._part(block, *mask) for block, mask in zip(blocks, masks, strict=True) if mask[0].any()]
            )

    def _replace_by(self, parts: Sequence["_Part"]) -> int:
        """Commit documents in place of those with their ids; returns how many."""
        if not parts:
            return 0
        doc_ids = pa.concat_arrays([part.revised for part in parts]).sort()
        pair = next_number(self.documents.pair)
        changes = []
        for table in (self.entities, self.documents):
            new = [file for part in parts for file in (part.entities if table is self.entities else part.documents)]
            changes.append((table, replacing(self._location(table), table.files(), new, doc_ids, self._run_all)))
        for table, change in changes:
            table.commit_files(change.added, pair, change.removed)
        for table, change in changes:
            table.delete_files(change.unused)
        return sum(file.rows for part in parts for file in part.documents)

    def _part(self, block: WrittenBlock, mask: NDArray[np.bool_], revised: NDArray[np.bool_]) -> "_Part":
        """The files of a block with the documents marked alone: its own, where that is all of them."""
        (file,) = block.documents
        with self._storage.open(join(self.documents.path, file.path)) as stream:
            documents = pq.read_table(stream, columns=["doc_id", "status"])
        doc_ids = documents["doc_id"].filter(pa.array(revised)).combine_chunks()
        written = mask & pc.not_equal(documents["status"], RETRACTED).to_numpy(zero_copy_only=False)
        if written.all():
            return _Part(doc_ids, block.documents, block.entities)
        others = documents["doc_id"].filter(pa.array(~written)).combine_chunks()
        return _Part(
            doc_ids,
            self._filtered(self.documents, block.documents, others),
            self._filtered(self.entities, block.entities, others),
        )

    def _filtered(self, table: NumberedTable, files: Sequence[DataFile], doc_ids: pa.Array) -> list[DataFile]:
        """Files without the rows of some documents."""
        return [rest for file in files for rest in Replacement(self._location(table), file, doc_ids).run()]

    def _location(self, table: NumberedTable) -> TableLocation:
        schema = entities_schema(self.partition_by) if table is self.entities else DOCUMENTS
        return TableLocation(self._storage, table.path, schema, self._run_id)

    def exists(self, url: str) -> bool:
        """True if there is a file at an address."""
        return self._storage.size(url) is not None

    def finished_shards(self) -> pa.Table:
        """The content of `shards`, one row per shard."""
        return latest_per_shard(self.shards.read(SHARDS.names).cast(SHARDS))

    def record_finished(self, rows: pa.Table) -> None:
        """Commit shards whose documents are all committed; rows of SHARDS."""
        self.shards.append(rows, self.documents.pair)

    def forget_shards(self, gone: pa.ChunkedArray, finished_shards: pa.Table) -> None:
        """Take shards out of `shards`, so that they are read if they come again; `gone` marks them among all rows."""
        if pc.any(gone).as_py():
            self.shards.overwrite(finished_shards.filter(pc.invert(gone)), self.documents.pair)

    def remove(self, doc_ids: pa.Array) -> int:
        """Commit the tables without the rows of some documents (sorted); returns how many documents were there."""
        before = self.documents.count()
        if len(doc_ids):
            with self.documents.detecting_takeover():
                pair = next_number(self.documents.pair)
                for table in (self.entities, self.documents):
                    change = rewritten(removals(self._location(table), table.files(), doc_ids), self._run_all)
                    table.commit_files(change.added, pair, change.removed)
        return before - self.documents.count()

    def entity_files(self) -> list[DataFile]:
        """The files of `entities`."""
        return self.entities.files()

    def replace_entity_files(self, files: Sequence[DataFile]) -> None:
        """Put files with the same rows, apart from their concepts, in place of all of `entities`."""
        self.entities.replace_files(files)

    def concept_ids(self) -> pa.Array:
        """The ids that `entities` has, each once."""
        found: set[str] = set()
        for batch in self.entities.delta.to_pyarrow_dataset().to_batches(columns=["concept_id"]):
            found.update(pc.unique(batch["concept_id"]).drop_null().to_pylist())
        return pa.array(sorted(found), pa.string())

    def write_concepts(self, concepts: pa.Table, ancestors: pa.Table) -> None:
        """Put rows of CONCEPTS and ANCESTORS in place of what these tables hold, if they differ."""
        for name, rows in (("concepts", concepts), ("ancestors", ancestors)):
            table = NumberedTable(self._storage, self.output, name, rows.schema)
            table.fence()
            if table.read().cast(rows.schema) != rows:
                table.overwrite(rows, self.documents.pair)
            table.vacuum(self._run_id)

    def finish(
        self, compact: bool, kept: Sequence[dict[str, int]] = (), stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Close a run: merge small files, remove files that no table refers to, and keep the logs short.

        After it the Parquet files are exactly the tables' snapshots, and those of the versions of `entities` and
        `documents` that are `kept`.

        stopped: asked after each merge, of at most `rewriting.AT_ONCE` bytes; what is not merged then is the next run's

        Raises RunError if another run has begun meanwhile, before anything is removed.
        """
        if self._has_superseded_shards() or (compact and len(self.shards.files()) > SHARD_FILES):
            self.shards.overwrite(self.finished_shards(), self.documents.pair)
        if compact:
            self.compact(stopped)
        for name, table in self.by_name.items():
            table.vacuum(self._run_id, [version[name] for version in kept if name in version and name != "shards"])
            table.checkpoint()

    def _has_superseded_shards(self) -> bool:
        """True if `shards` has several rows of a shard."""
        keys = pa.schema([SHARDS.field(name) for name in ("shard", "run_id")])
        rows = self.shards.with_retries(lambda: pa.Table.from_batches(self.shards.iter_batches(keys, _BATCH), keys))
        return bool(latest_per_shard(rows).num_rows < rows.num_rows)

    def compact(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Compaction small files, one commit to each table that has any. stopped: as in `finish`"""
        for table in (self.entities, self.documents):
            if stopped():
                return
            with table.detecting_takeover():
                change = rewritten(plan_compaction(self._location(table), table.files()), self._run_all, stopped)
                if change.removed:
                    table.commit_rewrite(change.added, change.removed)

    def plan_compaction(self) -> list[Compaction]:
        """The merges of the files that are small now."""
        self.small_files = 0
        both = (self.entities, self.documents)
        return [merge for table in both for merge in plan_compaction(self._location(table), table.files())]

    def commit_compaction(self, merged: Sequence[tuple[Compaction, Sequence[DataFile]]]) -> None:
        """Commit files that merges gave, but for those of which a file has been written again meanwhile."""
        for table in (self.entities, self.documents):
            mine = [(merge, files) for merge, files in merged if merge.location.folder == table.path]
            there = {file.path for file in table.files()} if mine else set()
            in_step = [there.issuperset(file.path for file in merge.files) for merge, _ in mine]
            if any(in_step):
                added = [file for _, files in compress(mine, in_step) for file in files]
                removed = [file for merge, _ in compress(mine, in_step) for file in merge.files]
                with table.detecting_takeover():
                    table.commit_rewrite(added, removed)
            late = [files for (_, files), good in zip(mine, in_step, strict=True) if not good]
            table.delete_files([file.path for files in late for file in files])

    def rewrite(self, name: str, rows: pa.RecordBatchReader, partition_by: Sequence[str], file_bytes: int) -> None:
        """Put a table's rows in new files, in the order in which they come.

        That they are its rows is the caller's care. Each partition has a group of rows in memory until the end.
        """
        table = self.by_name[name]
        table.overwrite(
            rows,
            table.pair,
            schema_mode="overwrite",
            partition_by=list(partition_by) or None,
            target_file_size=file_bytes,
        )

    def versions(self) -> dict[str, int]:
        """Delta's version of each table, as this run has left it."""
        return {name: table.version for name, table in self.by_name.items()}

    def counts(self) -> dict[str, int]:
        """Rows of both tables, from their logs."""
        return {"entities": self.entities.count(), "documents": self.documents.count()}

    def run_counts(self, run_id: str) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
        """Counts of a run's rows in the tables.

        Documents by status, rejected ones by reason, entities by label, and those that have a concept by label.
        """
        mine = pc.field("run_id") == run_id
        documents = self.documents.read(["status", "reason"], mine)
        entities = self.entities.read([LABEL, "concept_id"], mine)
        with_id = entities.filter(pc.is_valid(entities["concept_id"]))
        columns = (documents["status"], documents["reason"].drop_null(), entities[LABEL], with_id[LABEL])
        counts = [column.value_counts().to_pylist() for column in columns]
        statuses, reasons, labels, ids = (
            Counter({pair["values"]: pair["counts"] for pair in pairs}) for pairs in counts
        )
        return statuses, reasons, labels, ids


def latest_per_shard(rows: pa.Table) -> pa.Table:
    """Of rows of SHARDS, or some columns, the last run's of each shard; run ids begin with the time."""
    names = rows["shard"].cast(pa.large_string()).combine_chunks()  # a `string` has 2 GB at the most
    keys = pa.table({"shard": names, "run_id": rows["run_id"]})
    order = pc.sort_indices(keys, [("shard", "ascending"), ("run_id", "ascending")]).to_numpy()
    latest = np.ones(rows.num_rows, np.bool_)
    for at in range(0, rows.num_rows, _BATCH):
        neighbours = order[at : at + _BATCH + 1]
        sorted_names = names.take(pa.array(neighbours))
        superseded = pc.equal(sorted_names[:-1], sorted_names[1:]).to_numpy(zero_copy_only=False)
        latest[neighbours[:-1][superseded]] = False
    return rows if latest.all() else rows.filter(pa.array(latest))
