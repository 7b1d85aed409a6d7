"""`craft-ray annotate`."""

import json
import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from craft_ray.cli.console import add_row, console, run_progress
from craft_ray.cli.model_options import options_from
from craft_ray.cli.options import Json, Quiet, SettingsFile, Verbose
from craft_ray.core.descriptions import descriptions_in
from craft_ray.core.errors import DocumentsRejectedError, Interrupted, SettingsError, message
from craft_ray.core.logs import LogFormat, configure_logging, logs_json
from craft_ray.core.settings import Settings
from craft_ray.core.text import one_line

EXAMPLES = """Examples:

    craft-ray annotate pubmed/updatefiles --output tables

    craft-ray annotate 's3://bucket/pmc/*.tar.gz' --output s3://bucket/tables --replicas 8

    craft-ray annotate notes.csv articles --check

    craft-ray annotate pubmed/baseline --output tables --dry-run

    craft-ray annotate notes.jsonl --output tables --json | tail -n 1
"""


@options_from(Settings)
def annotate(
    inputs: Annotated[
        list[str] | None, typer.Argument(help="Files, folders or globs, on disk or s3://.", metavar="INPUT...")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder of the tables, on disk or s3://; made if absent.")
    ] = None,
    inputs_from: Annotated[
        str | None,
        typer.Option(help="List of further files (address, size, tag; - for standard input).", metavar="FILE"),
    ] = None,
    deleted_from: Annotated[
        str | None,
        typer.Option(help="List of ids to delete, one on each line, as PubMed's deleted.pmids.gz.", metavar="FILE"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Annotate nothing: tell what each input is and what would be read of it.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Annotate nothing: list the shards to read, why, and how long it may take."),
    ] = False,
    fail_on_rejected: Annotated[
        bool, typer.Option("--fail-on-rejected", help="End with 5 if any document was rejected or shard broken.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    settings: SettingsFile = None,
    as_json: Json = False,
    **chosen: Any,
) -> None:
    """Annotate documents into the Delta tables `entities` and `documents`.

    Run again with the same output, it annotates only what is new or changed. With `--json`, `status` says what the exit
    code says in a word: nothing_new, complete, partly_rejected, failed, stopped or busy.

    Exit codes:

    - 0: the run came to its end and its account adds up

    - 1: it failed

    - 2: a bad setting

    - 3: stopped by a signal; everything committed is kept

    - 4: another run is at work on the output

    - 5: documents were rejected, and either none is annotated or `--fail-on-rejected` was given
    """
    from craft_ray.core.settings import load_settings

    summary: dict[str, Any] | None = None
    failure: BaseException | None = None
    address: SecretStr | None = None
    asked = chosen.get("log_format") or os.environ.get("CRAFT_RAY_LOG_FORMAT")
    logs: LogFormat = "json" if asked == "json" or (asked is None and logs_json()) else "text"
    configure_logging(logs, verbose=verbose)  # before settings are read, which may log
    inputs = inputs or []
    try:
        loaded = load_settings(settings, **chosen)
        configure_logging(loaded.log_format, verbose=verbose)
        if (inputs_from or deleted_from) and (check or dry_run):
            raise SettingsError("--inputs-from and --deleted-from go with neither --check nor --dry-run: name files")
        if not (inputs or inputs_from or deleted_from):
            raise SettingsError(
                "no input is named: give files, folders or globs, --inputs-from FILE or --deleted-from FILE"
            )
        if check:
            print_checked(inputs, loaded, as_json)
            return
        if output is None:
            raise SettingsError("--output is missing: the folder of the tables")
        if dry_run:
            print_dry_run(inputs, output, loaded, as_json)
            return
        address = loaded.notify
        from craft_ray.annotation.run import annotate as run

        with run_progress(console(stderr=True), loaded.log_format, quiet=quiet) as show:
            summary = run(inputs, output, loaded, show, inputs_from, deleted_from)
        if summary["status"] == DocumentsRejectedError.status and (fail_on_rejected or _in_vain(summary)):
            raise _rejected(summary)
    except (Exception, Interrupted) as error:
        summary, failure = getattr(error, "summary", None), error
    if address is not None:
        from craft_ray.annotation.notify import notify

        notify(address.get_secret_value(), _told(summary, failure))
    if as_json:  # before the summary for people, so that nothing in that can cost a program its answer
        print(json.dumps(_told(summary, failure)), flush=True)
    if summary is not None and not quiet and not (as_json and logs_json()):  # whose last line has the same figures
        print_summary(console(stderr=as_json), summary)
    if failure is not None:
        raise failure


def print_checked(inputs: list[str], settings: Settings, as_json: bool) -> None:
    """Look at inputs without a model, and print what is found."""
    from craft_ray.annotation.check import check
    from craft_ray.cli.check import print_check

    checked = check(inputs, settings)
    if as_json:
        print(json.dumps(checked))
    else:
        print_check(console(), checked)


def print_dry_run(inputs: list[str], output: str, settings: Settings, as_json: bool) -> None:
    from craft_ray.annotation.forecast import forecast
    from craft_ray.cli.forecast import print_forecast

    expected = forecast(inputs, output, settings)
    if as_json:
        print(json.dumps(expected))
    else:
        print_forecast(console(), expected)


def _told(summary: dict[str, Any] | None, failure: BaseException | None) -> dict[str, Any]:
    """The object that `--json` prints: the summary, or how the run failed and the summary as far as there is one."""
    if failure is None:
        return summary or {}
    return (summary or {"status": getattr(failure, "status", "failed")}) | {"error": message(failure)}


def _in_vain(summary: dict[str, Any]) -> bool:
    """True if all that the run found was rejected or could not be read.

    A broken shard has a row of its own, which is unchanged if it was broken the night before as well.
    """
    documents, broken = summary["documents"], summary["shards"]["unreadable"]
    found = documents["annotated"] + documents["deleted"] + documents["superseded"]
    return not found and documents["unchanged"] <= broken


def _rejected(summary: dict[str, Any]) -> DocumentsRejectedError:
    documents, shards = summary["documents"]["rejected"], summary["shards"]["unreadable"]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary["rejected"].items())
    told = f"{documents:,} documents were rejected{f' ({reasons})' if reasons else ''} and {shards:,} shards are broken"
    error = DocumentsRejectedError(f"nothing was annotated: {told}" if _in_vain(summary) else told)
    error.summary = summary
    return error


def print_summary(on: Console, summary: dict[str, Any]) -> None:
    """The table at the end of a run."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim", overflow="fold")
    for name, number in summary["documents"].items():
        add_row(table, f"documents {name}", f"{number:,}", _note(name, number, summary))
    left_out = summary.get("left_out", {})
    labels = sorted({*summary["entities"], *left_out})
    known = descriptions_in(summary["model"], labels)
    for label in labels:
        number, with_id = summary["entities"].get(label, 0), summary.get("with_id", {}).get(label, 0)
        note = f"{with_id:,} with an id; " if with_id else ""
        note += f"{out:,} left out as less sure; " if (out := left_out.get(label, 0)) else ""
        add_row(table, f"entities {label}", f"{number:,}", note + (known[label].meaning if label in known else ""))
    for name, value, note in _shards(summary["shards"]):
        add_row(table, name, value, note)
    add_row(table, "time", f"{summary['seconds']:,.1f} s", f"{summary['tokens_per_second']:,.0f} tokens/s")
    on.print(table)
    for name, path in summary["tables"].items():
        on.print(one_line(f"{name}: {path}"), soft_wrap=True)


def _note(name: str, number: int, summary: dict[str, Any]) -> str:
    """The words beside a count of documents."""
    if name == "rejected":
        return ", ".join(f"{reason} {count:,}" for reason, count in summary["rejected"].items())
    if name == "found":
        left = 2 * number - sum(summary["documents"].values())
        told = [f"{left:,} are left for the next run"] if left else []
        return ", ".join(
            told + ([f"{summary['titles_alone']:,} with a title alone"] if summary["titles_alone"] else [])
        )
    if name == "superseded" and number:
        return "another document of the same id is newer; if ids repeat across files, give --id-prefix shard"
    return ""


def _shards(shards: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Rows of the summary about shards, and about files that are none."""
    yield "shards read", f"{shards['read']:,} of {shards['found']:,}", ""
    if shards["known"]:
        yield "shards known", f"{shards['known']:,}", "unchanged since they were read"
    if shards["cut_short"]:
        yield "shards cut short", f"{shards['cut_short']:,}", "by --limit; a run without it reads the rest"
    for shard, reason in shards["broken"].items():
        yield "shard broken", "", f"{shard}: {reason}"
    if shards["unreadable"] > len(shards["broken"]):
        yield "shards broken", f"{shards['unreadable']:,}", "all are in the table `shards`"
    if shards["passed_over"]:
        names = ", ".join(shards["passed_over"][:3])
        yield "files passed over", f"{shards['files_passed_over']:,}", f"no input by their names: {names}, ..."
