"""`craft-ray annotate --to`: one file of mentions, without tables."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from craft_ray.cli.console import console, print_status, step_progress
from craft_ray.core.errors import DocumentsRejectedError, SettingsError
from craft_ray.core.text import one_line

if TYPE_CHECKING:
    from craft_ray.annotation.inputs import Inputs
    from craft_ray.core.schema import Rejection
    from craft_ray.core.settings import Settings

NAMED = 20
"""Rejected documents that are named; of the others the number is."""

FILE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx")


def write_mentions(inputs: "Inputs", to: str, settings: "Settings", *, quiet: bool, as_json: bool) -> None:
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
    status = DocumentsRejectedError.status if rejected else "complete"
    if as_json:
        print(json.dumps({"status": status, "to": to, **counts}))
    elif not quiet:
        print_status(on, _in_words(counts, to), **counts)
    if rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts["rejected"].items())
        raise DocumentsRejectedError(f"{rejected:,} documents were rejected ({reasons}) and have no mentions")


def _in_words(counts: dict[str, object], to: str) -> str:
    entities = counts["entities"]
    assert isinstance(entities, dict)
    labels = ", ".join(f"{label} {count:,}" for label, count in sorted(entities.items()))
    parts = [f"{counts['documents']:,} documents, {sum(entities.values()):,} mentions ({labels or 'none'})"]
    if counts["deletions"]:
        parts.append(f"{counts['deletions']:,} deletions, which only tables can apply")
    if counts["files_passed_over"]:
        parts.append(f"{counts['files_passed_over']:,} files are no input by their names")
    return "; ".join([*parts, *([] if to == "-" else [f"written to {to}"])])


def check_output(output: str) -> None:
    """Raise SettingsError for the name of a file where a folder of tables is going to be made."""
    if Path(output).suffix.lower() in FILE_SUFFIXES and not Path(output).is_dir():
        raise SettingsError(f"--output {output} would be a folder of tables: --to {output} writes a file of mentions")
