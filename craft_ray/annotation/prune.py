"""Documents that have vanished from sources that are complete: they are in no file of a run's inputs any more.

Either their file is gone, or it is there and has been read again without them. Such a document may stand in another
file as well, since it was moved or is given twice. So before anything is removed, all files are read that could hold
it, and what the tables have from files that are gone counts less than whatever is there (`tables/known.py`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.annotation.finished import Finished
from craft_ray.core.logs import log
from craft_ray.core.schema import DOCUMENTS, TRANSIENT_REASONS
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
    others: places, among the files listed, of those that need not be read for themselves, but may hold documents that
            have vanished from others: more was found in them than the tables have from them
    """

    shards: frozenset[str] = frozenset()
    others: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def find_vanished(
    documents: Iterable[pa.RecordBatch], listing: Listing, to_read: NDArray[np.bool_], finished: Finished
) -> Vanished:
    """The files that are gone, by the rows of the tables; a deletion is of no file.

    documents: rows of `documents`, columns of ORIGIN
    to_read:   marks the files that a run reads in any case; (files,)
    finished:  with `duplicates`
    """
    rows = np.zeros(len(listing), np.int64)
    gone: set[str] = set()
    for batch in documents:
        place = listing.index.find(batch["shard"])
        np.add.at(rows, place[place >= 0], 1)
        elsewhere = pc.and_(pa.array(place < 0), pc.not_equal(batch["status"], "deleted"))
        gone.update(pc.unique(batch["shard"].filter(elsewhere)).to_pylist())
    if not gone and not rows[to_read].any():
        return Vanished()
    others = finished.there & ~to_read & (finished.found > rows + finished.duplicates)
    return Vanished(frozenset(gone), np.flatnonzero(others))


def prune(tables: "Tables", listing: Listing, run_id: str, given: NDArray[np.int64]) -> int:
    """Remove the documents that have vanished; returns how many.

    given: ids (`identity.id_hash`) of all that this run has found in files

    To be called when all files are read and noted. None is removed while a file could not be read by chance, for what
    it holds is not known. What a file that is damaged gave before stays.
    """
    finished = tables.finished_shards()
    place = listing.index.find(finished["shard"])
    listed = pa.array(place >= 0)
    if unread := pc.sum(pc.and_(listed, pc.is_in(finished["reason"], pa.array(TRANSIENT_REASONS)))).as_py():
        log.warning("nothing was pruned: %d files could not be read, so what they hold is not known", unread)
        return 0
    whole = pc.and_(pc.equal(finished["run_id"], run_id), pc.is_null(finished["reason"])).to_numpy() & (place >= 0)
    staying = np.ones(len(listing), np.bool_)
    staying[place[whole]] = False
    kept = np.concatenate([given, pc.list_flatten(finished["duplicates"].filter(listed)).to_numpy()])
    doc_ids = sorted(_vanished(tables.documents, listing, staying, kept))
    # The files first: if one comes back after a run that died in between, it is read.
    tables.forget_shards(pc.invert(listed), finished)
    return tables.remove(pa.array(doc_ids, pa.string()))


def _vanished(
    documents: "NumberedTable", listing: Listing, staying: NDArray[np.bool_], kept: NDArray[np.int64]
) -> Iterator[str]:
    """Ids of the documents, deletions apart, of files other than those that stay, and that are not to be kept."""
    for batch in documents.iter_batches(ORIGIN, BATCH):
        place = listing.index.find(batch["shard"])
        stays = pa.array((place >= 0) & staying[place])
        doubtful = pc.and_(pc.not_equal(batch["status"], "deleted"), pc.invert(stays))
        doc_ids: list[str] = batch.filter(doubtful)["doc_id"].to_pylist()
        is_kept = np.isin(identity.id_hashes(doc_ids), kept).tolist()
        yield from (doc_id for doc_id, keeps in zip(doc_ids, is_kept, strict=True) if not keeps)
