"""Replacing documents: old rows are dropped from the files of a table, and new rows are put into the same files.

So each file keeps covering a narrow range of ids, and later revisions touch few files.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from craft_ray.storage.addresses import join
from craft_ray.tables.blocks import DataFile
from craft_ray.tables.rewriting import Rewrite, Runner, TableLocation, by_partition, plan_sorting


@dataclass(frozen=True, slots=True)
class Replacement:
    """Rewrites a file without the rows of some documents and with new rows of others.

    dropped: sorted ids whose rows are dropped from the file
    sources: files of the same partition with new rows
    taken:   sorted ids whose rows are taken from the sources
    """

    location: TableLocation
    file: DataFile
    dropped: pa.Array
    sources: Sequence[DataFile] = ()
    taken: Sequence[str] = ()

    @property
    def files(self) -> Sequence[DataFile]:
        """The one file that is rewritten."""
        return (self.file,)

    def run(self) -> Sequence[DataFile]:
        """Write and return the new file; return the same file if no row changes, or none if no row is left.

        Holds all ids of the file, all new rows, and one row group at a time.
        """
        location, file = self.location, self.file
        new = self._new_rows()
        with location.storage.open(join(location.folder, file.path)) as stream:
            source = pq.ParquetFile(stream)
            ids = source.read(["doc_id"])["doc_id"].cast(pa.string())
            kept = pc.invert(pc.is_in(ids, value_set=self.dropped))
            rows = new.num_rows + (pc.sum(kept).as_py() or 0)
            if not new.num_rows and rows == source.metadata.num_rows:
                return (file,)
            if not rows:
                return ()
            path = location.new_path(file)
            with location.storage.publishing(join(location.folder, path)) as sink:
                with pq.ParquetWriter(sink, new.schema, compression="zstd") as writer:
                    for group in self._row_groups(source, kept, new):
                        writer.write_table(group)
                size = sink.tell()
        bounds = pc.min_max(pa.chunked_array([*ids.filter(kept).chunks, *new["doc_id"].chunks])).as_py()
        return (DataFile(path, size, rows, bounds["min"], bounds["max"], file.partition),)

    def _new_rows(self) -> pa.Table:
        if not self.sources:
            return self.location.columns(self.file).empty_table()
        doc_id = pc.field("doc_id")
        wanted = (doc_id >= self.taken[0]) & (doc_id <= self.taken[-1]) & doc_id.isin(_strings(self.taken))
        return self._sorted(self.location.rows(self.sources).to_table(filter=wanted))

    def _row_groups(self, source: pq.ParquetFile, kept: pa.ChunkedArray, new: pa.Table) -> Iterator[pa.Table]:
        """The kept rows of each row group, together with the new rows up to its last id."""
        start = 0
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group).select(new.schema.names).cast(new.schema)
            added = new
            if group < source.num_row_groups - 1:
                added = new.filter(pc.less_equal(new["doc_id"], pc.max(rows["doc_id"])))
            new = new.slice(added.num_rows)
            left = rows.filter(kept.slice(start, rows.num_rows))
            yield self._sorted(pa.concat_tables([left, added])) if added.num_rows else left
            start += rows.num_rows

    def _sorted(self, rows: pa.Table) -> pa.Table:
        return rows.sort_by([(name, "ascending") for name in self.location.order(self.file)])


def replace_documents(
    location: TableLocation, stored: Iterable[DataFile], new: Sequence[DataFile], doc_ids: pa.Array, run: Runner
) -> tuple[list[DataFile], list[DataFile]]:
    """Replace the rows of some documents in a table by the rows of new files.

    stored:  the files of the table
    new:     files that the table does not have yet; may be empty
    doc_ids: sorted ids whose rows in the table are replaced or removed

    Returns the files to add to the table and those to remove from it.
    """
    if not len(doc_ids):
        return [*new], []
    arriving, compactions = plan_sorting(location, new)
    arriving += chain.from_iterable(run(compactions))
    of_stored, of_arriving = plan_replacements(location, stored, arriving, doc_ids)
    removed, rewritten = _run(of_stored, run)
    emptied, left = _run(of_arriving, run)
    paths = {file.path for file in emptied}
    return [*rewritten, *left, *(file for file in arriving if file.path not in paths)], removed


def _run(rewrites: Sequence[Rewrite], run: Runner) -> tuple[list[DataFile], list[DataFile]]:
    """Run rewrites; return the files that they replace and the new ones, without files that do not change."""
    replaced: list[DataFile] = []
    written: list[DataFile] = []
    for rewrite, files in zip(rewrites, run(rewrites), strict=True):
        if tuple(files) != tuple(rewrite.files):
            replaced += rewrite.files
            written += files
    return replaced, written


def plan_replacements(
    location: TableLocation, stored: Iterable[DataFile], new: Iterable[DataFile], doc_ids: pa.Array
) -> tuple[list[Replacement], list[Replacement]]:
    """Plan the rewrites of stored files that may hold some documents, and of new files whose rows go into these.

    new:     files with the new rows of the documents, and perhaps of others
    doc_ids: sorted
    """
    wanted = doc_ids.to_pylist()
    new_files = {tuple(group[0].partition.values()): group for group in by_partition(new)}
    of_stored: list[Replacement] = []
    of_new: list[Replacement] = []
    for group in by_partition(stored):
        sources = new_files.get(tuple(group[0].partition.values()), [])
        covered = [_covered(file, wanted) for file in group]
        assigned = _assign(group, covered, wanted) if sources else [[] for _ in group]
        for file, ids, taken in zip(group, covered, assigned, strict=True):
            if ids.start < ids.stop:
                holding = [one for one in sources if taken and one.may_hold(taken[0], taken[-1])]
                of_stored.append(Replacement(location, file, _strings(wanted[ids]), holding, taken))
        moved = sorted(chain.from_iterable(assigned))
        for file, ids in ((file, _covered(file, moved)) for file in sources):
            if ids.start < ids.stop:
                of_new.append(Replacement(location, file, _strings(moved[ids])))
    return of_stored, of_new


def _assign(files: Sequence[DataFile], covered: Sequence[slice], wanted: Sequence[str]) -> list[list[str]]:
    """Assign documents to files of a partition, each document to at most one; return the ids of each file.

    Of the files that cover an id, the one with most rows per covered id is chosen, as it most likely holds the old
    rows. A file gets at most as many documents as it has rows; otherwise one that covers a wide range could double.

    covered: for each file, the slice of `wanted` within its bounds
    wanted:  sorted ids
    """
    free = np.full(len(wanted), True)
    assigned: list[list[str]] = [[] for _ in files]
    count = [ids.stop - ids.start for ids in covered]
    bounded = [n for n, file in enumerate(files) if count[n] and file.first_id and file.last_id]
    for n in sorted(bounded, key=lambda n: -files[n].rows / count[n]):
        chosen: NDArray[np.int64] = covered[n].start + np.flatnonzero(free[covered[n]])[: files[n].rows]
        free[chosen] = False
        assigned[n] = [wanted[index] for index in chosen]
    return assigned


def _covered(file: DataFile, wanted: Sequence[str]) -> slice:
    """The slice of sorted ids within the bounds of a file, all of them if it has no statistics."""
    if not (file.first_id and file.last_id):
        return slice(0, len(wanted))
    return slice(bisect_left(wanted, file.first_id), bisect_right(wanted, file.last_id))


def _strings(ids: Sequence[str]) -> pa.Array:
    return pa.array(ids, pa.string())
