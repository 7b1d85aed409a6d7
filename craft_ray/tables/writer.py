"""The tables of an output, opened for writing: `entities` and `documents`, which change together, and `shards`.

Rows are committed in pairs, first to `entities`, then to `documents`, and both commits carry one unique number
(`numbers.PAIR`):

- A run begins with a fence in each table, `documents` first. No other run can commit to `documents` after it, so if
  `entities` is one commit ahead, that commit will never get its second half and is rolled back.
- An earlier run that is still alive, or wakes up, fails with TakenOverError before it can add anything.
- Workers write files, which count only once the driver has committed them.
- A shard is recorded as finished after its documents, so `shards` is right whatever dies.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.core.schema import ANCESTORS, DOCUMENTS, ENTITIES, LABEL, SHARDS, entities_schema
from craft_ray.storage.addresses import join
from craft_ray.storage.failures import describe
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import RETRACTED, DataFile, WrittenBlock, best
from craft_ray.tables.delta import NumberedTable
from craft_ray.tables.ledger import Outcome, admitted
from craft_ray.tables.numbers import next_number
from craft_ray.tables.replacing import Replacement, replace_documents
from craft_ray.tables.rewriting import Compaction, Runner, TableLocation, plan_compaction, run_locally
from craft_ray.tables.version import check_version, id_hasher, new_properties

MAX_SHARD_FILES = 16
"""Files of `shards` above which they are written again as one; each run adds some."""

_CONCEPT_ID = pa.schema([ENTITIES.field("concept_id")])

_BATCH = 1 << 14
"""Rows of `shards` that are compared at a time."""


class Tables:
    """The tables of one output, opened for writing. Opening them fences off any earlier run.

    run_id: the run that writes; its uncommitted files are removed at the end
    run:    runs rewrites of files, in this process or on a cluster

    Raises SettingsError if the tables cannot be opened or are not ours, StorageError if storage fails for too long.
    """

    def __init__(self, storage: Storage, output: str, run_id: str = "unnamed", run: Runner = run_locally) -> None:
        self.storage = storage
        self.output = output
        self.run_id = run_id
        self._run = run
        self.small_files = 0
        """Files that were added since the last compaction."""
        try:
            self.entities = NumberedTable(storage, output, "entities", ENTITIES, [LABEL])
            self.documents = NumberedTable(storage, output, "documents", DOCUMENTS, properties=new_properties())
            self.shards = NumberedTable(storage, output, "shards", SHARDS)
            check_version(self.documents.delta, output)
            self.ids = id_hasher(self.documents.delta)
            self._begin()
            self._first_files = self._entity_files()
        except (DeltaError, OSError) as error:
            raise SettingsError(f"cannot open the tables of {output}: {describe(error)}") from error

    def _begin(self) -> None:
        self.documents.fence()
        pair = self.documents.pair
        if self.shards.pair > pair:
            raise SettingsError(
                f"the table shards of {self.output} is ahead of documents ({self.shards.pair}, {pair}): were they "
                "changed by hand? Without shards all input is read again"
            )
        self.entities.fence()
        if self.entities.pair != pair:
            self.documents.refuse_takeover()  # a whole pair of a later run would be taken for half of one
            self.entities.roll_back(pair)
        self.shards.fence()

    @property
    def by_name(self) -> dict[str, NumberedTable]:
        """The three tables."""
        return {"entities": self.entities, "documents": self.documents, "shards": self.shards}

    @property
    def partition_by(self) -> tuple[str, ...]:
        """The columns that partition `entities`."""
        return self.entities.partition_by

    def path(self, name: str) -> str:
        """The folder of a table."""
        return join(self.output, name)

    def append(self, blocks: Sequence[WrittenBlock]) -> None:
        """Commit blocks of new documents.

        Raises TakenOverError if another run has begun.
        """
        pair = next_number(self.documents.pair)
        self.entities.commit_files((file for block in blocks for file in block.entities), pair)
        self.documents.commit_files((file for block in blocks for file in block.documents), pair)
        self.small_files += sum(len(block.entities) + len(block.documents) for block in blocks)

    def replace(self, blocks: Sequence[WrittenBlock], outcomes: Sequence[NDArray[np.int8]]) -> int:
        """Commit new and revised documents in place of their stored rows; return how many were written.

        Of several revisions of a document the best is taken. All blocks go into one pair of commits, so that each file
        of the tables is rewritten at most once.

        outcomes: the `ledger.Outcome` of each document of each block; other than new and revised ones are left out
        """
        entries = np.concatenate([block.entries for block in blocks])
        outcome = np.concatenate(outcomes)
        candidates = np.flatnonzero(admitted(outcome))
        winners = np.full(len(entries), False)
        winners[candidates[best(entries[candidates])]] = True
        edges = np.cumsum([len(block.entries) for block in blocks])[:-1]
        revised = winners & (outcome == Outcome.REVISED)
        masks = zip(blocks, np.split(winners, edges), np.split(revised, edges), strict=True)
        with self.documents.detecting_takeover():
            new = [self._new_files(block, *mask) for block, *mask in masks if mask[0].any()]
            if not new:
                return 0
            replaced, *files = zip(*new, strict=True)
            documents, entities = ([*chain.from_iterable(of_table)] for of_table in files)
            self._replace_documents(pa.concat_arrays(replaced).sort(), entities, documents)
        return sum(file.rows for file in documents)

    def _new_files(
        self, block: WrittenBlock, winners: NDArray[np.bool_], revised: NDArray[np.bool_]
    ) -> tuple[pa.Array, list[DataFile], list[DataFile]]:
        """The ids of a block's documents whose rows the tables may already hold, and files of its winning documents and
        their entities: the block's own files if all of its documents are written.
        """
        (file,) = block.documents
        with self.storage.open(join(self.documents.path, file.path)) as stream:
            documents = pq.read_table(stream, columns=["doc_id", "status"])
        replaced = documents["doc_id"].filter(pa.array(revised)).combine_chunks()
        written = winners & pc.not_equal(documents["status"], RETRACTED).to_numpy(zero_copy_only=False)
        if written.all():
            return replaced, block.documents, block.entities
        others = documents["doc_id"].filter(pa.array(~written)).combine_chunks()

        def rest(table: NumberedTable, files: Sequence[DataFile]) -> list[DataFile]:
            return [new for file in files for new in Replacement(self._location(table), file, others).run()]

        return replaced, rest(self.documents, block.documents), rest(self.entities, block.entities)

    def remove(self, doc_ids: pa.Array) -> int:
        """Remove documents, by sorted ids, with their entities; return how many the tables held."""
        before = self.documents.count()
        if len(doc_ids):
            with self.documents.detecting_takeover():
                self._replace_documents(doc_ids, [], [])
        return before - self.documents.count()

    def _replace_documents(self, doc_ids: pa.Array, entities: list[DataFile], documents: list[DataFile]) -> None:
        """Commit new files in place of the rows of some documents, as one pair."""
        pair = next_number(self.documents.pair)
        changes = [
            (table, replace_documents(self._location(table), table.files(), new, doc_ids, self._run))
            for table, new in ((self.entities, entities), (self.documents, documents))
        ]
        for table, (added, removed) in changes:
            table.commit_files(added, pair, removed)

    def _location(self, table: NumberedTable) -> TableLocation:
        schema = entities_schema(self.partition_by) if table is self.entities else DOCUMENTS
        return TableLocation(self.storage, table.path, schema, self.run_id)

    def exists(self, url: str) -> bool:
        """True if there is a file at an address."""
        return self.storage.size(url) is not None

    def finished_shards(self) -> pa.Table:
        """The content of `shards`, one row per shard."""
        return latest_per_shard(self.shards.read(SHARDS.names).cast(SHARDS))

    def record_finished(self, rows: pa.Table) -> None:
        """Commit rows of SHARDS for shards whose documents are all committed."""
        self.shards.append(rows, self.documents.pair)

    def forget_shards(self, gone: pa.ChunkedArray, finished_shards: pa.Table) -> None:
        """Remove shards from `shards`, so that they are read if they come back.

        gone:            mask of the rows to remove
        finished_shards: all rows
        """
        if pc.any(gone).as_py():
            self.shards.overwrite(finished_shards.filter(pc.invert(gone)), self.documents.pair)

    def concept_ids(self) -> set[str]:
        """All concept ids in `entities`."""
        return self._concept_ids(self._entity_files())

    def changed_concept_ids(self) -> tuple[set[str], set[str]] | None:
        """The concept ids in files of `entities` that this run has added, and in those that it has removed.

        None if these files are larger than all files of the table together.
        """
        sizes = self._entity_files()
        added, removed = sizes.keys() - self._first_files.keys(), self._first_files.keys() - sizes.keys()
        if sum((sizes | self._first_files)[path] for path in added | removed) > sum(sizes.values()):
            return None
        return self._concept_ids(added), self._concept_ids(removed)

    def _entity_files(self) -> dict[str, int]:
        """The size of each file of `entities`, by path."""
        return {file.path: file.size for file in self.entities.files()}

    def _concept_ids(self, paths: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for batch in self._location(self.entities).dataset(paths, _CONCEPT_ID).to_batches():
            found.update(pc.unique(batch["concept_id"]).drop_null().to_pylist())
        return found

    def described_concept_ids(self) -> set[str]:
        """The concept ids that the table `ancestors` describes."""
        ancestors = NumberedTable(self.storage, self.output, "ancestors", ANCESTORS)
        return set(ancestors.read(["id"], pc.field("distance") == 0)["id"].to_pylist())

    def write_concepts(self, concepts: pa.Table, ancestors: pa.Table, xrefs: pa.Table) -> None:
        """Overwrite the tables `concepts`, `ancestors` and `xrefs` if their rows differ from these."""
        for name, rows in (("concepts", concepts), ("ancestors", ancestors), ("xrefs", xrefs)):
            table = NumberedTable(self.storage, self.output, name, rows.schema)
            table.fence()
            if table.read().cast(rows.schema) != rows:
                table.overwrite(rows, self.documents.pair)
            table.vacuum(self.run_id)

    def finish(
        self, compact: bool, kept: Sequence[dict[str, int]] = (), stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """End a run: compact small files, remove files that no table refers to, and keep the logs short.

        Afterwards the Parquet files are exactly those of the current tables and of the `kept` versions of `entities`
        and `documents`.

        stopped: checked after each compaction of at most `rewriting.MAX_INPUT` bytes; the next run does the others

        Raises TakenOverError if another run has begun, before anything is removed.
        """
        if self._has_superseded_shards() or (compact and len(self.shards.files()) > MAX_SHARD_FILES):
            self.shards.overwrite(self.finished_shards(), self.documents.pair)
        if compact:
            self.compact(stopped)
        for name, table in self.by_name.items():
            table.vacuum(self.run_id, [version[name] for version in kept if name in version and name != "shards"])
            table.checkpoint()

    def _has_superseded_shards(self) -> bool:
        """True if `shards` has several rows for one shard, which are never in one file."""
        if len(self.shards.files()) < 2:
            return False
        keys = pa.schema([SHARDS.field(name) for name in ("shard", "run_id")])
        rows = self.shards.with_retries(lambda: pa.Table.from_batches(self.shards.iter_batches(keys, _BATCH), keys))
        return bool(latest_per_shard(rows).num_rows < rows.num_rows)

    def compact(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Compact small files. stopped: as in `finish`"""
        if stopped():
            return
        plan = self.plan_compaction()
        done = []
        with self.documents.detecting_takeover():
            for compaction, files in zip(plan, self._run(plan), strict=True):
                done.append((compaction, files))
                if stopped():
                    break
        self.commit_compaction(done)

    def plan_compaction(self) -> list[Compaction]:
        """The compactions of the files that are small now."""
        self.small_files = 0
        both = (self.entities, self.documents)
        return [compaction for table in both for compaction in plan_compaction(self._location(table), table.files())]

    def commit_compaction(self, done: Sequence[tuple[Compaction, Sequence[DataFile]]]) -> None:
        """Commit compacted files, except those of which an old file has been rewritten meanwhile."""
        for table in (self.entities, self.documents):
            stored = {file.path for file in table.files()} if done else set()
            added: list[DataFile] = []
            removed: list[DataFile] = []
            for compaction, files in done:
                here = compaction.location.folder == table.path
                if here and stored.issuperset(file.path for file in compaction.files):
                    added += files
                    removed += compaction.files
            if added:
                table.commit_files(added, table.pair, removed, data_change=False)

    def versions(self) -> dict[str, int]:
        """Delta's version of each table after this run's last commit."""
        return {name: table.version for name, table in self.by_name.items()}

    def counts(self) -> dict[str, int]:
        """The number of entities and documents, from the logs."""
        return {"entities": self.entities.count(), "documents": self.documents.count()}

    def run_counts(self, run_id: str) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
        """Count the rows that a run has written.

        Returns documents by status, rejected documents by reason, entities by label, and entities with a concept by
        label.
        """
        mine = pc.field("run_id") == run_id
        has_id = pc.field("concept_id").is_valid()
        documents = self.documents.count_by({name: pc.field(name) for name in ("status", "reason")}, mine)
        entities = self.entities.count_by({LABEL: pc.field(LABEL), "has_id": has_id}, mine)
        statuses, reasons, labels, ids = (Counter[str]() for _ in range(4))
        for (status, reason), count in documents.items():
            statuses[status] += count
            if reason is not None:
                reasons[reason] += count
        for (label, is_grounded), count in entities.items():
            labels[label] += count
            if is_grounded:
                ids[label] += count
        return statuses, reasons, labels, ids


def latest_per_shard(rows: pa.Table) -> pa.Table:
    """The last row of each shard among rows of SHARDS, or of some of its columns. Run ids sort by time."""
    names = rows["shard"].cast(pa.large_string()).combine_chunks()  # a `string` array holds at most 2 GB
    keys = pa.table({"shard": names, "run_id": rows["run_id"]})
    order = pc.sort_indices(keys, [("shard", "ascending"), ("run_id", "ascending")]).to_numpy()
    latest = np.ones(rows.num_rows, np.bool_)
    for start in range(0, rows.num_rows, _BATCH):
        neighbours = order[start : start + _BATCH + 1]
        sorted_names = names.take(pa.array(neighbours))
        superseded = pc.equal(sorted_names[:-1], sorted_names[1:]).to_numpy(zero_copy_only=False)
        latest[neighbours[:-1][superseded]] = False
    return rows if latest.all() else rows.filter(pa.array(latest))
