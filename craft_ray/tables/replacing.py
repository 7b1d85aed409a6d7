"""Rows of some documents taken out of a table's files, and their new rows put in where the old ones were.

So each file goes on covering few ids, whatever is revised, and a later revision touches few files.
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
from craft_ray.tables.rewriting import Change, Runner, TableLocation, by_partition, rewritten, sorting


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file without the rows of some documents, and with the new rows of some.

    doc_ids: ids whose rows go; sorted
    new:     files of the same partition that hold new rows
    taken:   ids whose rows it takes from them; sorted
    """

    location: TableLocation
    file: DataFile
    doc_ids: pa.Array
    new: Sequence[DataFile] = ()
    taken: Sequence[str] = ()

    @property
    def files(self) -> Sequence[DataFile]:
        """The one file."""
        return (self.file,)

    def run(self) -> Sequence[DataFile]:
        """The file itself if no row goes or comes, none if no row is left, or one of what is left and what comes.

        Of the file itself the ids are read first. A row group at a time is in memory, beside all rows that come.
        """
        location, file = self.location, self.file
        coming = self._coming()
        with location.storage.open(join(location.folder, file.path)) as stream:
            source = pq.ParquetFile(stream)
            ids = source.read(["doc_id"])["doc_id"].cast(pa.string())
            kept = pc.invert(pc.is_in(ids, value_set=self.doc_ids))
            rows = coming.num_rows + (pc.sum(kept).as_py() or 0)
            if not coming.num_rows and rows == source.metadata.num_rows:
                return (file,)
            if not rows:
                return ()
            path = location.new_path(file)
            with location.storage.publishing(join(location.folder, path)) as sink:
                with pq.ParquetWriter(sink, coming.schema, compression="zstd") as writer:
                    for part in self._parts(source, kept, coming):
                        writer.write_table(part)
                size = sink.tell()
        bounds = pc.min_max(pa.chunked_array([*ids.filter(kept).chunks, *coming["doc_id"].chunks])).as_py()
        return (DataFile(path, size, rows, bounds["min"], bounds["max"], file.partition),)

    def _coming(self) -> pa.Table:
        """The new rows, in order."""
        if not self.new:
            return self.location.columns(self.file).empty_table()
        doc_id = pc.field("doc_id")
        mine = (doc_id >= self.taken[0]) & (doc_id <= self.taken[-1]) & doc_id.isin(_strings(self.taken))
        return self._sorted(self.location.rows(self.new).to_table(filter=mine))

    def _parts(self, source: pq.ParquetFile, kept: pa.ChunkedArray, coming: pa.Table) -> Iterator[pa.Table]:
        """The rows that are left, a row group at a time, each with those that come and belong there."""
        at = 0
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group).select(coming.schema.names).cast(coming.schema)
            here = coming
            if group < source.num_row_groups - 1:
                here = coming.filter(pc.less_equal(coming["doc_id"], pc.max(rows["doc_id"])))
            coming = coming.slice(here.num_rows)
            left = rows.filter(kept.slice(at, rows.num_rows))
            yield self._sorted(pa.concat_tables([left, here])) if here.num_rows else left
            at += rows.num_rows

    def _sorted(self, rows: pa.Table) -> pa.Table:
        return rows.sort_by([(name, "ascending") for name in self.location.order(self.file)])


def removals(location: TableLocation, files: Iterable[DataFile], doc_ids: pa.Array) -> list[Replacement]:
    """Those of files that by their statistics may hold some documents, to be written without their rows.

    doc_ids: sorted
    """
    wanted = doc_ids.to_pylist()
    covered = ((file, _covered(file, wanted)) for file in files)
    return [Replacement(location, file, _strings(wanted[ids])) for file, ids in covered if ids.start < ids.stop]


def replacing(
    location: TableLocation, files: Iterable[DataFile], new: Sequence[DataFile], doc_ids: pa.Array, run_all: Runner
) -> Change:
    """The change after which a table holds the rows of new files, in place of those of some documents.

    files:   of the table
    doc_ids: of documents that it may hold rows of; sorted
    """
    if not len(doc_ids):
        return Change(new)
    at_hand, unsorted = sorting(location, new)
    at_hand += chain.from_iterable(run_all(unsorted))
    touched, rest = replacements(location, files, at_hand, doc_ids)
    change, left = rewritten(touched, run_all), rewritten(rest, run_all)
    emptied = {file.path for file in left.removed}
    added = [*change.added, *left.added, *(file for file in at_hand if file.path not in emptied)]
    spare = {file.path for file in (*new, *left.removed)} - {file.path for file in added}
    return Change(added, change.removed, sorted(spare))


def replacements(
    location: TableLocation, files: Iterable[DataFile], new: Iterable[DataFile], doc_ids: pa.Array
) -> tuple[list[Replacement], list[Replacement]]:
    """A table's files that may hold some documents, to be written with their new rows; and new files, without these.

    new:     files that hold the documents' new rows, and may hold others; those without any are not among the second
    doc_ids: sorted
    """
    wanted = doc_ids.to_pylist()
    arriving = {tuple(group[0].partition.values()): group for group in by_partition(new)}
    touched: list[Replacement] = []
    rest: list[Replacement] = []
    for group in by_partition(files):
        mine = arriving.get(tuple(group[0].partition.values()), [])
        covered = [_covered(file, wanted) for file in group]
        assigned = _assigned(group, covered, wanted) if mine else [[] for _ in group]
        for file, ids, taken in zip(group, covered, assigned, strict=True):
            if ids.start < ids.stop:
                holding = [one for one in mine if taken and one.first_id <= taken[-1] and taken[0] <= one.last_id]
                touched.append(Replacement(location, file, _strings(wanted[ids]), holding, taken))
        rest += removals(location, mine, _strings(sorted(chain.from_iterable(assigned))))
    return touched, rest


def _assigned(files: Sequence[DataFile], covered: Sequence[slice], wanted: Sequence[str]) -> list[list[str]]:
    """For each file of a partition, the documents whose new rows it takes; each goes to one file at the most.

    Of the files that cover an id the one is chosen that has most rows per id, for it most likely holds the old rows.
    No file takes more documents than it has rows, else one that covers much could become as large as all of them.

    covered: of each file, the places of the ids within its bounds
    wanted:  ids, sorted
    """
    free = np.full(len(wanted), True)
    assigned: list[list[str]] = [[] for _ in files]
    number = [ids.stop - ids.start for ids in covered]
    bounded = [at for at, file in enumerate(files) if number[at] and file.first_id and file.last_id]
    for at in sorted(bounded, key=lambda at: -files[at].rows / number[at]):
        places: NDArray[np.int64] = covered[at].start + np.flatnonzero(free[covered[at]])[: files[at].rows]
        free[places] = False
        assigned[at] = [wanted[at] for at in places]
    return assigned


def _covered(file: DataFile, wanted: Sequence[str]) -> slice:
    """The places, among sorted ids, of those within a file's bounds; all of them for a file without statistics."""
    if not (file.first_id and file.last_id):
        return slice(0, len(wanted))
    return slice(bisect_left(wanted, file.first_id), bisect_right(wanted, file.last_id))


def _strings(ids: Sequence[str]) -> pa.Array:
    return pa.array(ids, pa.string())
