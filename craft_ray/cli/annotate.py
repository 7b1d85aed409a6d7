"""`craft-ray annotate`."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from craft_ray.cli.check import print_check
from craft_ray.cli.console import add_row, console, print_result, run_progress
from craft_ray.cli.forecast import print_forecast
from craft_ray.cli.mention_file import check_output, write_mentions
from craft_ray.cli.model_options import options_from
from craft_ray.cli.options import INPUTS, OUTCOME, PANELS, Json, Quiet, SettingsFile, Verbose
from craft_ray.core.descriptions import descriptions_in
from craft_ray.core.errors import DocumentsRejectedError, Interrupted, SettingsError, message
from craft_ray.core.logs import configure_logging, logs_json
from craft_ray.core.settings import Settings
from craft_ray.core.text import one_line

EXAMPLES = """Examples:

    craft-ray annotate pubmed/updatefiles --output tables

    craft-ray annotate notes.csv --to mentions.csv

    craft-ray annotate 's3://bucket/pmc/*.tar.gz' --output s3://bucket/tables --replicas 8

    craft-ray annotate notes.csv articles --check

    craft-ray annotate pubmed/baseline --output tables --dry-run

    craft-ray annotate notes.jsonl --output tables --json | tail -n 1
"""


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

    summary: dict[str, Any] | None = None
    failure: BaseException | None = None
    address: SecretStr | None = None
    configure_logging("json" if logs_json() else "text", verbose=verbose)  # before settings are read, which may log
    inputs = inputs or []
    try:
        loaded = load_settings(settings, **chosen)
        configure_logging(loaded.log_format, verbose=verbose)
        if not (inputs or inputs_from or deleted_from):
            raise SettingsError(
                "no input is named: give files, folders or globs, --inputs-from FILE or --deleted-from FILE"
            )
        if check:
            from craft_ray.annotation.check import check as run_check
            from craft_ray.annotation.inputs import Inputs

            print_result(run_check(Inputs(inputs, inputs_from, deleted_from), loaded), as_json, print_check)
            return
        if to is not None:
            from craft_ray.annotation.inputs import Inputs

            if output is not None or dry_run:
                raise SettingsError(
                    "--to writes a file in place of tables: it goes with neither --output nor --dry-run"
                )
            sources = Inputs(inputs, inputs_from, deleted_from)
            write_mentions(sources, to, loaded, quiet=quiet, as_json=as_json)
            return
        if output is None:
            raise SettingsError("--output is missing: the folder of the tables; or --to, a file of mentions")
        check_output(output)
        if dry_run:
            from craft_ray.annotation.forecast import forecast
            from craft_ray.annotation.inputs import Inputs

            sources = Inputs(inputs, inputs_from, deleted_from)
            print_result(forecast(sources, output, loaded), as_json, print_forecast)
            return
        address = loaded.notify
        from craft_ray.annotation.run import annotate as run

        with run_progress(console(stderr=True), loaded.log_format, quiet=quiet) as show:
            summary = run(inputs, output, loaded, show, inputs_from, deleted_from)
        if _annotated_nothing(summary) or (fail_on_rejected and _rejected_anything(summary)):
            raise _rejected(summary)
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


def _rejected_anything(summary: dict[str, Any]) -> bool:
    """True if this run rejected a document, or found a shard broken that no earlier run had found so."""
    return bool(summary["documents"]["rejected"] or summary["shards"]["newly_broken"])


def _rejected(summary: dict[str, Any]) -> DocumentsRejectedError:
    documents, shards = summary["documents"]["rejected"], summary["shards"]["unreadable"]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["rejected"].items())
    text = f"{documents:,} documents were rejected{f' ({reasons})' if reasons else ''} and {shards:,} shards are broken"
    error = DocumentsRejectedError(f"nothing was annotated: {text}" if _annotated_nothing(summary) else text)
    error.summary = summary
    return error


def print_summary(on: Console, summary: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim", overflow="fold")
    for name, number in summary["documents"].items():
        add_row(table, f"documents {name}", f"{number:,}", _note(name, number, summary))
    labels = sorted({*summary["entities"], *summary["left_out"]})
    known = descriptions_in(summary["model"], labels)
    for label in labels:
        number, with_id, out = (summary[counts].get(label, 0) for counts in ("entities", "with_id", "left_out"))
        note = f"{with_id:,} with an id; " if with_id else ""
        note += f"{out:,} left out as less sure; " if out else ""
        add_row(table, f"entities {label}", f"{number:,}", note + (known[label].meaning if label in known else ""))
    for name, value, note in _shards(summary["shards"]):
        add_row(table, name, value, note)
    add_row(table, "time", f"{summary['seconds']:,.1f} s", f"{summary['tokens_per_second']:,.0f} tokens/s")
    on.print(table)
    for name, path in summary["tables"].items():
        on.print(one_line(f"{name}: {path}"), soft_wrap=True)


def _note(name: str, number: int, summary: dict[str, Any]) -> str:
    if name == "rejected":
        return ", ".join(f"{reason} {count:,}" for reason, count in summary["rejected"].items())
    if name == "found":
        left = 2 * number - sum(summary["documents"].values())
        titles = summary["titles_alone"]
        notes = (f"{left:,} left for the next run" if left else "", f"{titles:,} with a title alone" if titles else "")
        return ", ".join(filter(None, notes))
    if name == "superseded" and number:
        if summary["documents"]["deleted"]:
            return "a later file revises or deletes them"
        return "a newer document has the same id; if ids repeat across files, give --id-prefix shard"
    return ""


def _shards(shards: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield "shards read", f"{shards['read']:,} of {shards['found']:,}", ""
    if shards["known"]:
        yield "shards known", f"{shards['known']:,}", "unchanged since an earlier run"
    if shards["cut_short"]:
        yield "shards cut short", f"{shards['cut_short']:,}", "by --limit; a run without it reads the rest"
    for shard, reason in shards["broken"].items():
        yield "shard broken", "", f"{shard}: {reason}"
    if shards["unreadable"] > len(shards["broken"]):
        yield "shards broken", f"{shards['unreadable']:,}", "all are in the table `shards`"
    if shards["passed_over"]:
        names = ", ".join(shards["passed_over"][:3])
        yield "files passed over", f"{shards['files_passed_over']:,}", f"not input by their names: {names}, ..."
