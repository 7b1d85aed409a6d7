"""The catalogue of an output: what earlier runs have read, beside the files that are listed now."""

import math
from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from craft_ray.annotation.account import UpToDate
from craft_ray.annotation.catalogue.existing import BATCH, Existing, read_existing
from craft_ray.annotation.catalogue.file_states import FileStates, columns_needed
from craft_ray.annotation.catalogue.shard_names import ROWS, name_shards, rows_needed
from craft_ray.annotation.catalogue.vanished import ORIGIN, Vanished, find_vanished, vanished_documents
from craft_ray.core.errors import SettingsError
from craft_ray.core.logs import log
from craft_ray.core.schema import TRANSIENT_REASONS
from craft_ray.storage.shards import Listing, Shards
from craft_ray.tables.writer import Tables, latest_per_shard


class Catalogue:
    """The listed files compared with the `shards` table, as earlier runs left it.

    with_duplicates: also load which files hold duplicates of one another's documents, which pruning needs
    """

    def __init__(self, tables: Tables, listing: Listing, with_duplicates: bool = False) -> None:
        self._tables = tables
        self._listing = listing
        columns = columns_needed(with_duplicates)
        shards = tables.shards
        self._states = shards.with_retries(lambda: FileStates.of(listing, shards.iter_batches(columns, BATCH)))

    def any_changed(self) -> bool:
        """True if some file must be read whatever the model and the settings."""
        return self._states.any_changed()

    def to_read(self, signature: str) -> NDArray[np.bool_]:
        """Mask of the files that must be read, shape (files,).

        A file is read if it has changed, if it would now be read in another way, or if reading it failed in a way that
        may pass. A file whose content is broken is not read again, but counts as broken in each run.
        """
        return ~self._states.up_to_date(signature)

    def vanished(self, to_read: NDArray[np.bool_]) -> Vanished:
        """Find the files that have vanished from the inputs, and those that may hold their documents."""
        documents = self._tables.documents.iter_batches(ORIGIN, BATCH)
        return find_vanished(documents, self._listing, to_read, self._states)

    def up_to_date(self, to_read: NDArray[np.bool_]) -> UpToDate:
        """Count the files that are not read, and their documents."""
        states = self._states
        broken = np.flatnonzero(~to_read & states.broken)
        shards = zip(self._listing.shards(broken), broken.tolist(), strict=True)
        return UpToDate(
            shards=int(np.count_nonzero(~to_read)) - len(broken),
            documents=int(states.found[~to_read].sum()),
            broken={shard.name: states.details[index] for shard, index in shards},
        )

    def failures(self, to_read: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Runs in a row that failed to read each of the files to read, shape (shards,)."""
        return self._states.failures[to_read]

    def shards(self, to_read: NDArray[np.bool_], vanished: Collection[str] = ()) -> tuple[Shards, Existing]:
        """Return the shards to read, named and numbered, and what the tables hold.

        vanished: files whose documents give way to whatever other files have of them
        """
        shards = self._listing.shards(None if to_read.all() else np.flatnonzero(to_read))
        if not shards:
            return shards, Existing()
        table = self._tables.shards
        rows = table.with_retries(lambda: rows_needed(lambda: table.iter_batches(ROWS, BATCH), self._listing, to_read))
        finished = latest_per_shard(rows)
        shards = shards.with_names(name_shards(shards, self._listing.index, finished, self._tables.exists))
        existing = read_existing(self._tables, shards, finished, vanished)
        return shards.with_numbers(existing.numbers), existing


def prune(tables: Tables, listing: Listing, run_id: str, found: NDArray[np.int64], max_share: float) -> int:
    """Remove the documents that have vanished from the inputs, and return how many.

    found:     id hashes of all documents that this run has found in files
    max_share: of all documents, that may be removed

    Call it when all files are read and recorded. Nothing is removed while some file could not be read for a reason that
    may pass, since it may hold any document.

    Raises SettingsError, before anything is removed, if that were more documents than `max_share` allows.
    """
    finished = tables.finished_shards()
    listed = listing.index.find(finished["shard"]) >= 0
    transient = np.isin(finished["reason"].to_numpy(), TRANSIENT_REASONS)
    if unread := int((listed & transient).sum()):
        log.warning("nothing was pruned: %d files could not be read, so what they hold is not known", unread)
        return 0
    doc_ids = vanished_documents(tables, listing, finished, run_id, found)
    why = "are in no file of the inputs any more"
    refuse_many(len(doc_ids), tables.documents.count(), max_share, why, "Is a folder missing?")
    # The files first: if one comes back after a run that died in between, it is read.
    tables.forget_shards(pa.array(~listed), finished)
    return tables.remove(pa.array(doc_ids, pa.string()))


def refuse_many(removed: int, documents: int, max_share: float, why: str, question: str) -> None:
    """Raise SettingsError if more documents would be removed than the setting `max_pruned` allows.

    removed:   number of documents to remove
    documents: number of all documents
    why, question: what is said of these documents, and asked of the user
    """
    if removed > max_share * documents:
        raise SettingsError(
            f"{removed:,} of {documents:,} documents {why}, and max_pruned is {max_share:g}: nothing was removed. "
            f"{question} If not, allow it with --max-pruned {math.ceil(100 * removed / documents) / 100:g}"
        )
