"""The checks that may refuse a run before it changes anything, and the steps that end one.

At its end, a run prunes, writes the tables of concepts, compacts, vacuums, and checks its account.
"""

from contextlib import suppress

import numpy as np
import pyarrow.compute as pc

from craft_ray.annotation.account import Account, summarize
from craft_ray.annotation.catalogue.catalogue import prune, refuse_many
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.concepts import write_concepts
from craft_ray.annotation.context import RunContext
from craft_ray.annotation.plan import ReadingPlan
from craft_ray.core.errors import RunError, SettingsError, ShardError
from craft_ray.core.schema import Deletion
from craft_ray.readers import deletions, read_shard
from craft_ray.readers.reader import ReadOptions
from craft_ray.storage.addresses import absolute
from craft_ray.storage.shards import Listing
from craft_ray.tables.records import RunRecord, kept_versions, last_model
from craft_ray.tables.writer import Tables


def check_model(run: RunContext, tables: Tables) -> None:
    """Raise SettingsError if another model has annotated the tables' documents, unless the settings allow that."""
    last, documents, settings = last_model(run.storage, run.output), tables.counts()["documents"], run.settings
    if last and documents and last["fingerprint"] != run.checkpoint.fingerprint and not settings.replace_model:
        raise SettingsError(
            f"the {documents:,} documents of {run.output} were annotated by another model ({last['source']}, "
            f"fingerprint {last['fingerprint'][:12]}) than {settings.model}: --replace-model "
            "annotates those that are given again, and leaves the others as they are"
        )


def check_deletions(run: RunContext, tables: Tables, plan: ReadingPlan, deleted_from: str | None) -> None:
    """Raise SettingsError if a list of deletions is to be read that has more stored documents than `max_pruned` allows.

    The list is read up to where it may be damaged, as the run itself reads it.
    """
    if deleted_from is None or not pc.any(pc.equal(plan.shards.names, absolute(deleted_from))).as_py():
        return
    removed: set[int] = set()
    with run.storage.open(absolute(deleted_from)) as stream, suppress(ShardError):
        for item in read_shard(stream, deleted_from, ReadOptions(deletions.READER.name)):
            if isinstance(item, Deletion) and (id := tables.ids.hash(item.doc_id)) in plan.existing.ledger:
                removed.add(id)
    why = f"are in {deleted_from}"
    documents = tables.documents.count()
    refuse_many(len(removed), documents, run.settings.max_pruned, why, "Is it the wrong list?")


def settle(
    run: RunContext, tables: Tables, account: Account, commits: Commits, record: RunRecord, to_prune: Listing | None
) -> None:
    """Finish a run whose documents are committed.

    to_prune: all files of the inputs, if documents that are in none of them are to be removed

    Raises RunError if shards are missing, or if the tables and the account differ.
    """
    if missing := account.arrivals.missing():
        raise RunError(
            f"{len(missing):,} shards are not finished, as {missing[0].name}: the processes at work on them died "
            "each time; Ray's logs tell more"
        )
    if to_prune:
        found = np.concatenate([np.empty(0, np.int64), *account.arrivals.ids])
        account.pruned = prune(tables, to_prune, run.run_id, found, run.settings.max_pruned)
    if run.grounder:
        write_concepts(tables, run.grounder.lexicon)
        record.add(concepts_in_step=True)
    kept = kept_versions(run.storage, run.output, run.settings.keep_versions)
    tables.finish(run.settings.compact, kept, run.stop.is_set)
    if not account.adds_up():
        raise RunError(f"the account does not add up: {summarize(account)['documents']}")
    if (rows := tables.counts()["documents"]) != (expected := commits.rows - account.pruned):
        raise RunError(f"the documents table holds {rows} rows where the account has {expected}")
