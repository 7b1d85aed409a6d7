"""`craft-ray annotate`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from craft_ray.cli.options import Json, ModelOption
from craft_ray.core.errors import DocumentsRejectedError, Interrupted, message
from craft_ray.core.labels import LABELS

EXAMPLES = """Examples:

    craft-ray annotate pubmed/updatefiles --output tables

    craft-ray annotate 's3://bucket/pmc/*.tar.gz' --output s3://bucket/tables --replicas 8

    craft-ray annotate notes.jsonl --output tables --json | tail -n 1
"""


def annotate(
    inputs: Annotated[list[str], typer.Argument(help="Files, folders or globs, on disk or s3://.", metavar="INPUT...")],
    output: Annotated[str, typer.Option(help="Folder of the tables, on disk or s3://; made if absent.")],
    model: ModelOption = None,
    format: Annotated[
        str | None,
        typer.Option(help="pubmed, jats, bioc, pubtator, jsonl, parquet or text.", show_default="told by content"),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(help="Copies of the model that work at once.", show_default="one a GPU, or 8 cores")
    ] = None,
    max_rejected: Annotated[
        float | None,
        typer.Option(help="Share of the documents that may be rejected before the run stops.", show_default="0.9"),
    ] = None,
    model_sha256: Annotated[
        str | None, typer.Option("--model-sha256", help="Fingerprint that the model must have.", metavar="HEX")
    ] = None,
    keep_versions: Annotated[
        int | None,
        typer.Option(help="Earlier states of the tables to keep for time travel and `diff`.", show_default="0"),
    ] = None,
    fail_on_rejected: Annotated[
        bool, typer.Option("--fail-on-rejected", help="End with 5 if any document was rejected or shard broken.")
    ] = False,
    log_format: Annotated[
        str | None,
        typer.Option(
            help="text, or json: an object a line on stderr, with run and shard.", metavar="FORMAT", show_default="text"
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="YAML file of settings; arguments and CRAFT_RAY_* variables go before it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Annotate documents into the Delta tables `entities` and `documents`.

    Run again with the same output, it annotates only what is new or changed. Exit codes: 0 the run came to its end and
    its account adds up, 1 it failed, 2 a bad setting, 3 stopped by a signal with everything committed kept, 4 another
    run is at work on the output, 5 documents were rejected and `--fail-on-rejected` was given. With `--json`, `status`
    says the same in a word: nothing_new, complete, partly_rejected, failed, stopped or busy.
    """
    from craft_ray.cli.console import shown
    from craft_ray.core.logs import log_as
    from craft_ray.core.settings import load_settings

    console = Console(stderr=True)
    try:
        chosen = load_settings(
            settings,
            model=model,
            format=format,
            replicas=replicas,
            max_rejected=max_rejected,
            model_sha256=model_sha256,
            keep_versions=keep_versions,
            log_format=log_format,
        )
        from craft_ray.annotation.run import annotate as run

        log_as(chosen.log_format)
        with shown(console, chosen.log_format) as show:
            summary = run(inputs, output, chosen, show)
        if fail_on_rejected and summary["status"] == DocumentsRejectedError.status:
            raise _rejected(summary)
    except (Exception, Interrupted) as error:
        told = getattr(error, "summary", None)
        if told is not None:
            print_summary(console if as_json else Console(), told)
        if as_json:
            status = getattr(error, "status", "failed")
            print(json.dumps((told or {"status": status}) | {"error": message(error)}))
        raise
    if not (as_json and chosen.log_format == "json"):  # whose last line has the same figures
        print_summary(console if as_json else Console(), summary)
    if as_json:
        print(json.dumps(summary))


def _rejected(summary: dict[str, Any]) -> DocumentsRejectedError:
    documents, shards = summary["documents"]["rejected"], summary["shards"]["unreadable"]
    error = DocumentsRejectedError(f"{documents:,} documents were rejected and {shards:,} shards are broken")
    error.summary = summary
    return error


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    """The table at the end of a run."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, number in summary["documents"].items():
        note = ", ".join(f"{reason} {count:,}" for reason, count in summary["rejected"].items())
        table.add_row(f"documents {name}", f"{number:,}", note if name == "rejected" else "")
    meaning = {label.name: label.meaning for label in LABELS}
    for label, number in summary["entities"].items():
        table.add_row(f"entities {label}", f"{number:,}", meaning.get(label, ""))
    shards = summary["shards"]
    table.add_row("shards read", f"{shards['read']:,} of {shards['found']:,}", "")
    if shards["known"]:
        table.add_row("shards known", f"{shards['known']:,}", "unchanged since they were read")
    for shard, reason in shards["broken"].items():
        table.add_row("shard broken", "", f"{shard}: {reason}")
    if shards["unreadable"] > len(shards["broken"]):
        table.add_row("shards broken", f"{shards['unreadable']:,}", "all are in the table `shards`")
    if shards["passed_over"]:
        names = ", ".join(shards["passed_over"][:3])
        table.add_row(
            "files passed over", f"{shards['files_passed_over']:,}", f"not input by their names: {names}, ..."
        )
    table.add_row("time", f"{summary['seconds']:,.1f} s", f"{summary['tokens_per_second']:,.0f} tokens/s")
    console.print(table)
    for name, path in summary["tables"].items():
        console.print(f"{name}: {path}", highlight=False, soft_wrap=True)
