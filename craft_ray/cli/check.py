"""The table of `craft-ray annotate --check`."""

from typing import Any

from rich.console import Console

from craft_ray.cli.console import add_row, plain_table
from craft_ray.core.text import one_line


def print_check(on: Console, checked: dict[str, Any]) -> None:
    """Print a row per file, and notes about all files."""
    table = plain_table("file", "format", "documents", "words", "not read")
    for file in checked["files"]:
        add_row(table, file["file"], file["format"] or "-", _documents(file), _counts(file["words"]), _not_read(file))
    on.print(table)
    if checked["files_found"] > len(checked["files"]):
        on.print(f"{len(checked['files']):,} of {checked['files_found']:,} files were checked.")
    if checked["files_passed_over"]:
        names = ", ".join(checked["passed_over"][:3])
        on.print(
            one_line(f"files that are not input by their names: {checked['files_passed_over']:,} ({names})"),
            soft_wrap=True,
        )
    if checked["ids_in_several_files"]:
        ids = ", ".join(checked["such_ids"][:3])
        count = f"{checked['ids_in_several_files']:,}"
        found = f"ids that occur in several files, of which the last would be kept: {count} ({ids})."
        on.print(one_line(f"{found} --id-prefix shard keeps them apart."), soft_wrap=True)


def _documents(file: dict[str, Any]) -> str:
    count = f"{file['documents']:,}" + ("" if file["whole"] else " and more")
    titles = f", {file['titles_alone']:,} with a title alone" if file["titles_alone"] else ""
    return count + titles + (f", {file['deleted']:,} deleted" if file["deleted"] else "")


def _not_read(file: dict[str, Any]) -> str:
    parts = [file["problem"] or "", _counts(file["rejected"]), _counts(file["left_out"])]
    if file["columns"]:
        parts.append(f"read from {file['columns']['id'] or 'no id'}: {', '.join(file['columns']['text'])}")
    return "; ".join(filter(None, parts))


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
