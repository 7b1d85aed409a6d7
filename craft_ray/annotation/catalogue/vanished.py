"""Documents that have vanished from complete sources: no file of the run's inputs has them any more.

Either their file is gone, or it has been read again without them. Another file may have such a document too, because
it was moved or given twice. So before anything is removed, all files are read that could hold it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from craft_ray.annotation.catalogue.existing import BATCH
from craft_ray.annotation.catalogue.file_states import FileStates
from craft_ray.core.schema import DOCUMENTS
from craft_ray.storage.shards import Listing

if TYPE_CHECKING:
    from craft_ray.tables.writer import Tables

ORIGIN = pa.schema([DOCUMENTS.field(name) for name in ("doc_id", "shard", "status")])


@dataclass(frozen=True, slots=True)
class Vanished:
    """Files that have vanished, and files that may hold their documents.

    files:      names of files that documents come from and that the inputs lack
    candidates: indices of listed files that are up to date but had more documents than the tables have from them
    """

    files: frozenset[str] = frozenset()
    candidates: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def find_vanished(
    documents: Iterable[pa.RecordBatch], listing: Listing, to_read: NDArray[np.bool_], states: FileStates
) -> Vanished:
    """Find the vanished files. A deletion does not count as a document of its file.

    documents: rows of `documents` with columns ORIGIN
    to_read:   mask of the files that the run reads in any case, shape (files,)
    states:    with `duplicates`
    """
    rows = np.zeros(len(listing), np.int64)
    vanished: set[str] = set()
    for batch in documents:
        file = listing.index.find(batch["shard"])
        np.add.at(rows, file[file >= 0], 1)
        elsewhere = pc.and_(pa.array(file < 0), pc.not_equal(batch["status"], "deleted"))
        vanished.update(pc.unique(batch["shard"].filter(elsewhere)).to_pylist())
    if not vanished and not rows[to_read].any():
        return Vanished()
    candidates = states.read & ~to_read & (states.found > rows + states.duplicates)
    return Vanished(frozenset(vanished), np.flatnonzero(candidates))


def vanished_documents(
    tables: "Tables", listing: Listing, finished: pa.Table, run_id: str, found: NDArray[np.int64]
) -> list[str]:
    """Return the sorted ids of the documents to remove, deletions not among them.

    finished: rows of `shards`, one per shard, after everything is read
    found:    id hashes of all documents that this run has found in files

    What a damaged file gave in an earlier run stays.
    """
    file = listing.index.find(finished["shard"])
    listed = file >= 0
    read_whole = listed & pc.and_(pc.equal(finished["run_id"], run_id), pc.is_null(finished["reason"])).to_numpy()
    stays = np.ones(len(listing), np.bool_)
    stays[file[read_whole]] = False
    kept = np.sort(np.concatenate([found, pc.list_flatten(finished["duplicates"].filter(pa.array(listed))).to_numpy()]))
    vanished: list[str] = []
    for batch in tables.documents.iter_batches(ORIGIN, BATCH):
        file = listing.index.find(batch["shard"])
        in_doubt = pc.and_(pc.not_equal(batch["status"], "deleted"), pa.array(~((file >= 0) & stays[file])))
        doc_ids: list[str] = batch.filter(in_doubt)["doc_id"].to_pylist()
        hashes = tables.ids.hashes(doc_ids)
        # Not `np.isin`, which sorts `kept` again for each batch: 20 hours for 38 million documents.
        is_kept = np.searchsorted(kept, hashes, "right") > np.searchsorted(kept, hashes, "left")
        vanished += [doc_id for doc_id, keep in zip(doc_ids, is_kept.tolist(), strict=True) if not keep]
    return sorted(vanished)
