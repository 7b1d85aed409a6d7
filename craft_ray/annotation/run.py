"""One annotation run, as the list of its steps. This is the file to read first."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from craft_ray.annotation.account import Account, Timeline
from craft_ray.annotation.arrivals import Arrivals
from craft_ray.annotation.catalogue.catalogue import Catalogue
from craft_ray.annotation.commits import Commits
from craft_ray.annotation.concepts import with_ontologies_of
from craft_ray.annotation.context import ModelLoading, RunContext
from craft_ray.annotation.inputs import Inputs, check_formats, check_settings, list_inputs
from craft_ray.annotation.plan import plan_reading, shard_signature
from craft_ray.annotation.reporting import recorded, run_summary
from craft_ray.annotation.rewrites import run_on_cluster
from craft_ray.annotation.settling import check_deletions, check_model, settle
from craft_ray.core.logs import log_fields
from craft_ray.core.settings import Settings
from craft_ray.core.signals import stop_on_signal
from craft_ray.storage.addresses import absolute_output
from craft_ray.storage.storage import Storage
from craft_ray.tables.lease import hold_lease
from craft_ray.tables.output import tables_exist
from craft_ray.tables.writer import Tables


def annotate(
    inputs: Sequence[str],
    output: str,
    settings: Settings,
    on_progress: Callable[[Account], None] = lambda account: None,
    inputs_from: str | None = None,
    deleted_from: str | None = None,
) -> dict[str, Any]:
    """Annotate all documents of the inputs into the tables of an output, and return the run's summary.

    Only what is new or changed since earlier runs is annotated.

    inputs_from:  a list of further files (`storage.file_list`)
    deleted_from: a list of ids to delete (`readers.deletions`)

    Raises SettingsError and OutputBusyError before any work begins, RunError if the run cannot go on or does not add
    up, and StoppedError on SIGINT or SIGTERM. What was committed before stays.
    """
    timeline, storage, output = Timeline(), Storage.of(settings), absolute_output(output)
    check_settings(settings)
    with stop_on_signal() as stop, ExitStack() as cleanup:
        # List the inputs. The model is loaded in the background, which takes as long as starting Ray.
        model = ModelLoading(settings, storage)
        sources = Inputs(inputs, inputs_from, deleted_from)
        listing = list_inputs(storage, sources, output, settings.prune)
        check_formats(storage, sources, listing, settings)
        model.raise_early()

        # Lock the output.
        lease = cleanup.enter_context(hold_lease(storage, output, stop.wait))
        run_id = lease.run_id
        cleanup.enter_context(log_fields(run_id=run_id))
        chosen = with_ontologies_of(storage, output, settings)
        run = RunContext(
            run_id, storage, output, settings, chosen, model, stop, lease.lost, on_progress, timeline, cleanup
        )

        # Open the tables, which rolls back a commit that a dead run left half done.
        if not tables_exist(storage, output):
            run.connect()  # first, so that a wrong model or address leaves no empty tables behind
        tables = Tables(storage, output, run_id, run_on_cluster)
        catalogue = Catalogue(tables, listing, with_duplicates=settings.prune)

        # Plan what to read. Ray is started only if that is anything: most nights of most schedules have nothing new.
        if catalogue.any_changed():
            run.connect()  # already, while the model is loading
        check_model(run, tables)
        run.raise_if_stopped()
        plan = plan_reading(catalogue, shard_signature(run.checkpoint, settings), settings.prune, settings.limit)
        check_deletions(run, tables, plan, deleted_from)
        if plan.shards:
            run.connect()
        to_prune = listing if settings.prune and (plan.vanished or plan.shards) else None
        arrivals = Arrivals(plan.shards, settings.prune)
        account = Account(arrivals, plan.up_to_date, listing.ignored_files, timeline, failures=plan.failures)
        del listing, catalogue  # of millions of files they take a gigabyte

        # Annotate and commit, in passes until nothing is missing; then prune, compact, vacuum and check the account.
        # However the run ends, its record says how.
        with recorded(run, plan, tables, account, sources) as record:
            commits = Commits(tables, plan.existing.ledger, account, run_id, plan.signature, settings.max_rejected)
            if plan.shards:
                from craft_ray.annotation.passes import annotate_shards  # imports Ray

                annotate_shards(run, plan, tables, account, commits, record)
            settle(run, tables, account, commits, record, to_prune)
        return run_summary(run, tables, account, account.status)
