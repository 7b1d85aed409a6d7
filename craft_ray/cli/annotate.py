"""`craft-ray annotate` and `craft-ray demo`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from craft_ray.cli.console import console, keep_exit_code, print_result, print_status
from craft_ray.cli.options import INPUTS, OUTCOME, PANELS, Json, Quiet, SettingsFile, Verbose, open_tables, options_from
from craft_ray.cli.progress import run_progress, step_progress
from craft_ray.cli.summaries import counts_in_words, mention_file_summary, print_check, print_forecast, print_summary
from craft_ray.core.errors import DocumentsRejectedError, Interrupted, SettingsError, message
from craft_ray.core.logs import configure_logging, logs_json
from craft_ray.core.settings import Settings
from craft_ray.core.text import one_line

if TYPE_CHECKING:
    from craft_ray.annotation.inputs import Inputs
    from craft_ray.core.schema import Rejection

EXAMPLES = {
    "annotate": (
        "craft-ray annotate pubmed/updatefiles --output tables",
        "craft-ray annotate notes.csv --to mentions.csv",
        "craft-ray annotate 's3://bucket/pmc/*.tar.gz' --output s3://bucket/tables --replicas 8",
        "craft-ray annotate notes.csv articles --check",
        "craft-ray annotate pubmed/baseline --output tables --dry-run",
        "craft-ray annotate notes.jsonl --output tables --json | tail -n 1",
    )
}

SAMPLE = Path(__file__).parent.parent / "sample"
"""Three citations and an article that ship with the package."""

NAMED = 20
"""Rejected documents that `--to` names; the others are counted."""

FILE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx")
"""Suffixes of files, which a folder of tables should not have."""


@options_from(Settings, panels=PANELS)
def annotate(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders or globs, on disk or s3://; with --to also - for standard input.", metavar="INPUT..."
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder of the tables, on disk or s3://; made if absent.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="In place of tables: a file of mentions (.csv, .jsonl or .parquet), or - for standard output.",
            metavar="FILE",
        ),
    ] = None,
    inputs_from: Annotated[
        str | None,
        typer.Option(
            help="List of further files (address, size, tag; - for standard input).",
            metavar="FILE",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    deleted_from: Annotated[
        str | None,
        typer.Option(
            help="List of ids to delete, one on each line, as PubMed's deleted.pmids.gz.",
            metavar="FILE",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Do not annotate: show the format and documents of each input.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Annotate nothing: list the shards to read and why, and estimate their documents."
        ),
    ] = False,
    fail_on_rejected: Annotated[
        bool,
        typer.Option(
            "--fail-on-rejected",
            help="Exit with 5 if this run rejected a document or found a shard broken; not again the next night.",
            rich_help_panel=OUTCOME,
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    settings: SettingsFile = None,
    as_json: Json = False,
    **chosen: Any,
) -> None:
    """Annotate documents into the Delta tables `entities` and `documents`, or with `--to` into one file of mentions.

    Run again with the same output, it annotates only what is new or changed. With `--json`, `status` names the outcome:
    nothing_new, complete, partly_rejected, failed, stopped or busy.

    `--to` is for inputs that one machine annotates in minutes: it starts no Ray, keeps no state, and ends with 5 if
    documents were rejected. `-` as input reads a text, or JSON lines whose mentions are printed as they come.

    Exit codes:

    - 0: the run is complete and its account adds up

    - 1: it failed

    - 2: a bad setting

    - 3: stopped by a signal; commits are kept

    - 4: another run is writing to the output

    - 5: this run rejected documents, and either none was annotated or `--fail-on-rejected` was given
    """
    from craft_ray.core.settings import load_settings

    if to is None:
        keep_exit_code()
    summary: dict[str, Any] | None = None
    failure: BaseException | None = None
    address = None
    configure_logging("json" if logs_json() else "text", verbose=verbose)  # before settings are read, which may log
    try:
        loaded = load_settings(settings, **chosen)
        configure_logging(loaded.log_format, verbose=verbose)
        if not (inputs or inputs_from or deleted_from):
            raise SettingsError(
                "no input is named: give files, folders or globs, --inputs-from FILE or --deleted-from FILE"
            )
        from craft_ray.annotation.inputs import Inputs

        sources = Inputs(inputs or [], inputs_from, deleted_from)
        if check:
            from craft_ray.annotation.check import check as run_check

            print_result(run_check(sources, loaded), as_json, print_check)
            return
        if to is not None:
            if output is not None or dry_run:
                raise SettingsError(
                    "--to writes a file in place of tables: it goes with neither --output nor --dry-run"
                )
            _write_mentions(sources, to, loaded, quiet, as_json)
            return
        if output is None:
            raise SettingsError("--output is missing: the folder of the tables; or --to, a file of mentions")
        if Path(output).suffix.lower() in FILE_SUFFIXES and not Path(output).is_dir():
            raise SettingsError(
                f"--output {output} would be a folder of tables: --to {output} writes a file of mentions"
            )
        if dry_run:
            from craft_ray.annotation.forecast import forecast

            print_result(forecast(sources, output, loaded), as_json, print_forecast)
            return
        address = loaded.notify
        from craft_ray.annotation.run import annotate as run

        with run_progress(console(stderr=True), loaded.log_format, quiet=quiet) as show:
            summary = run(inputs or [], output, loaded, show, inputs_from, deleted_from)
        nothing = _annotated_nothing(summary)
        newly_rejected = summary["documents"]["rejected"] or summary["shards"]["newly_broken"]
        if nothing or (fail_on_rejected and newly_rejected):
            raise _rejected(summary, nothing)
    except (Exception, Interrupted) as error:
        if to is not None:
            raise
        summary, failure = getattr(error, "summary", None), error
    if address is not None:
        from craft_ray.annotation.notify import notify

        notify(address.get_secret_value(), _result(summary, failure))
    if as_json:  # first, so that an error in the summary for people cannot cost a program its result
        print(json.dumps(_result(summary, failure)), flush=True)
    if summary is not None and not quiet and not (as_json and logs_json()):  # the last log line has the same figures
        print_summary(console(stderr=as_json), summary)
    if failure is not None:
        raise failure


def _result(summary: dict[str, Any] | None, failure: BaseException | None) -> dict[str, Any]:
    """The result for programs: the summary, with the error of a failed run."""
    if failure is None:
        return summary or {}
    return (summary or {"status": getattr(failure, "status", "failed")}) | {"error": message(failure)}


def _annotated_nothing(summary: dict[str, Any]) -> bool:
    """True if every document found was rejected or is in a broken shard.

    A broken shard has a row of its own, which is unchanged if an earlier run has met it.
    """
    if summary["status"] != DocumentsRejectedError.status:
        return False
    documents, broken = summary["documents"], summary["shards"]["unreadable"]
    found = documents["annotated"] + documents["deleted"] + documents["superseded"]
    return not found and documents["unchanged"] <= broken


def _rejected(summary: dict[str, Any], nothing: bool) -> DocumentsRejectedError:
    documents, shards = summary["documents"]["rejected"], summary["shards"]["unreadable"]
    why = f" ({counts_in_words(summary['rejected'])})" if summary["rejected"] else ""
    text = f"{_counted(documents, 'document', 'were')} rejected{why} and {_counted(shards, 'shard', 'are')} broken"
    error = DocumentsRejectedError(f"nothing was annotated: {text}" if nothing else text)
    error.summary = summary
    return error


def _counted(number: int, noun: str, verb: Literal["are", "were"]) -> str:
    """A number with a noun and a verb that agree.

    >>> _counted(1, "document", "were"), _counted(0, "shard", "are")
    ('1 document was', '0 shards are')
    """
    return f"1 {noun} {'is' if verb == 'are' else 'was'}" if number == 1 else f"{number:,} {noun}s {verb}"


def _write_mentions(inputs: "Inputs", to: str, settings: Settings, quiet: bool, as_json: bool) -> None:
    """Write a file of mentions and print the counts.

    Raises SettingsError before anything is written, and DocumentsRejectedError at the end if documents were rejected.
    """
    from craft_ray.annotation.mention_file import STANDARD, annotate_to_file

    if inputs.deleted_from or settings.prune:
        raise SettingsError("--deleted-from and --prune change tables, and --to writes none: give --output")
    if as_json and to == STANDARD:
        raise SettingsError("--json prints the counts where --to - prints mentions: give a file")
    on, rejected = console(stderr=True), 0

    def name(item: "Rejection") -> None:
        nonlocal rejected
        rejected += 1
        if rejected <= NAMED:
            on.print(one_line(f"rejected {item.doc_id}: {item.reason}: {item.detail}"), soft_wrap=True)

    if quiet or settings.log_format == "json":
        counts = annotate_to_file(inputs, to, settings, name)
    else:
        with step_progress(on, "file") as show:
            counts = annotate_to_file(inputs, to, settings, name, show)
    if as_json:
        print(json.dumps({"status": DocumentsRejectedError.status if rejected else "complete", "to": to, **counts}))
    elif not quiet:
        print_status(on, mention_file_summary(counts, to), **counts)
    if rejected:
        why = counts_in_words(counts["rejected"])
        raise DocumentsRejectedError(f"{_counted(rejected, 'document', 'were')} rejected ({why}), without mentions")


def demo(
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder of the tables; made if absent.")
    ] = "craft-ray-demo",
    settings: SettingsFile = None,
) -> None:
    """Annotate a sample that ships with craft_ray, write a report, and suggest commands to try next."""
    from craft_ray.report.report import write_report
    from craft_ray.storage.addresses import join

    annotate([str(SAMPLE)], output, settings=settings)
    tables = open_tables(output, settings)
    page = write_report(tables, join(tables.location, "report.html"))
    print(f"\nOpen {page['html']} in a browser, and try:\n")
    for command in (
        f"craft-ray show PMID:990000001 --in {output}",
        f"craft-ray top {output} --label Protein",
        f'craft-ray query {output} "SELECT label, count(*) FROM entities GROUP BY 1"',
        f"craft-ray export {output} {output}-bioc --to bioc-xml",
    ):
        print(f"    {command}")
