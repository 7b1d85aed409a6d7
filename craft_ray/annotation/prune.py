"""Documents that have vanished from sources that are complete: they are in no file of a run's inputs any more.

Either their file is gone, or it is there and has been read again without them. Such a document may stand in another
file as well, since it was moved or is given twice. So before anything is removed, all files are read that could hold
it, and what the tables have from files that are gone counts less than whatever is there (`tables/known.py`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.core.logs import log
from craft_ray.core.schema import BY_CHANCE, DOCUMENTS
from craft_ray.storage.shards import Listing
from craft_ray.tables import identity

if TYPE_CHECKING:
    from craft_ray.tables.delta import NumberedTable
    from craft_ray.tables.writer import Tables

ORIGIN = pa.schema([DOCUMENTS.field(name) for name in ("doc_id", "shard", "status")])

BATCH = 1 << 14
"""Rows that are in memory as strings."""


@dataclass(frozen=True, slots=True)
class Vanished:
    """Files that are gone, and files that may hold what is missing elsewhere.

    shards: names of files that documents are from, and that are not among the inputs
    others: names of files that need not be read for themselves, but may hold documents that have vanished from others:
            more was found in them than the tables have from them
    """

    shards: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


def find_vanished(
    documents: Iterable[pa.RecordBatch], listing: Listing, to_read: Set[str], finished_shards: pa.Table
) -> Vanished:
    """The files that are gone, by the rows of the tables; a deletion is of no file.

    documents: rows of `documents`, columns of ORIGIN
    to_read:   names of the files that a run reads in any case
    """
    listed = {shard.name for shard in listing.shards}
    rows: Counter[str] = Counter()
    gone: set[str] = set()
    for batch in documents:
        counts = pa.Table.from_batches([batch]).group_by(["shard", "status"]).aggregate([([], "count_all")])
        for row in counts.to_pylist():
            rows[row["shard"]] += row["count_all"]
            if row["status"] != "deleted" and row["shard"] not in listed:
                gone.add(row["shard"])
    if not gone and not any(rows[name] for name in to_read):
        return Vanished()
    restated = pc.fill_null(pc.list_value_length(finished_shards["restated"]), 0).to_pylist()
    names, found = (finished_shards[name].to_pylist() for name in ("shard", "found"))
    known = zip(names, found, restated, strict=True)
    others = {name for name, count, more in known if name in listed - to_read and count > rows[name] + more}
    return Vanished(frozenset(gone), frozenset(others))


def prune(tables: "Tables", listing: Listing, run_id: str, given: NDArray[np.int64]) -> int:
    """Remove the documents that have vanished; returns how many.

    given: ids (`identity.id_hash`) of all that this run has found in files

    To be called when all files are read and noted. None is removed while a file could not be read by chance, for what
    it holds is not known. What a file that is damaged gave before stays.
    """
    listed = pa.array([shard.name for shard in listing.shards])
    finished = tables.finished_shards()
    mine = finished.filter(pc.is_in(finished["shard"], listed))
    if unread := pc.sum(pc.is_in(mine["reason"], pa.array(BY_CHANCE))).as_py():
        log.warning("nothing was pruned: %d files could not be read, so what they hold is not known", unread)
        return 0
    whole = mine.filter(pc.and_(pc.equal(mine["run_id"], run_id), pc.is_null(mine["reason"])))["shard"]
    kept = np.concatenate([given, pc.list_flatten(mine["restated"]).to_numpy()])
    staying = pa.array(sorted(set(listed.to_pylist()) - set(whole.to_pylist())), pa.string())
    doc_ids = sorted(_vanished(tables.documents, staying, kept))
    # The files first: if one comes back after a run that died in between, it is read.
    tables.forget_shards(pc.invert(pc.is_in(finished["shard"], listed)), finished)
    return tables.remove(pa.array(doc_ids, pa.string()))


def _vanished(documents: "NumberedTable", staying: pa.Array, kept: NDArray[np.int64]) -> Iterator[str]:
    """Ids of the documents, deletions apart, of files other than those that stay, and that are not to be kept."""
    for batch in documents.stream(ORIGIN, BATCH):
        doubtful = pc.and_(pc.not_equal(batch["status"], "deleted"), pc.invert(pc.is_in(batch["shard"], staying)))
        doc_ids: list[str] = batch.filter(doubtful)["doc_id"].to_pylist()
        is_kept = np.isin(identity.id_hashes(doc_ids), kept).tolist()
        yield from (doc_id for doc_id, keeps in zip(doc_ids, is_kept, strict=True) if not keeps)
