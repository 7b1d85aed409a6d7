"""The summaries that `craft-ray annotate` prints on a terminal: of a run, a check, a dry run and a mention file."""

import os
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from craft_ray.cli.console import add_row, plain_table
from craft_ray.core.descriptions import descriptions_in
from craft_ray.core.text import one_line


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
        return counts_in_words(summary["rejected"])
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


def counts_in_words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def print_check(on: Console, checked: dict[str, Any]) -> None:
    """Print the folder of all files, a row per file, and notes about all."""
    names = [file["file"] for file in checked["files"]]
    folder = os.path.commonprefix(names).rpartition("/")[0]  # noqa: RUF071  # commonpath makes one / of the two in s3://
    if folder:
        on.print(one_line(f"files in {folder}"), soft_wrap=True)
    table = plain_table("file", "format", "documents", "words", "not read")
    for name, file in zip(names, checked["files"], strict=True):
        words = counts_in_words(file["words"])
        about = name[len(folder) :].lstrip("/"), file["format"] or "-", _documents(file), words, _not_read(file)
        add_row(table, *about)
    on.print(table)
    if checked["files_found"] > len(checked["files"]):
        on.print(f"{len(checked['files']):,} of {checked['files_found']:,} files were checked.")
    if checked["files_passed_over"]:
        few = f"{checked['files_passed_over']:,} ({', '.join(checked['passed_over'][:3])})"
        on.print(one_line(f"files that are not input by their names: {few}"), soft_wrap=True)
    if checked["ids_in_several_files"]:
        ids = f"{checked['ids_in_several_files']:,} ({', '.join(checked['such_ids'][:3])})"
        found = f"ids that occur in several files, of which the last would be kept: {ids}."
        on.print(one_line(f"{found} --id-prefix shard keeps them apart."), soft_wrap=True)


def _documents(file: dict[str, Any]) -> str:
    count = f"{file['documents']:,}" + ("" if file["whole"] else " and more")
    titles = f", {file['titles_alone']:,} with a title alone" if file["titles_alone"] else ""
    return count + titles + (f", {file['deleted']:,} deleted" if file["deleted"] else "")


def _not_read(file: dict[str, Any]) -> str:
    parts = [file["problem"] or "", counts_in_words(file["rejected"]), counts_in_words(file["left_out"])]
    if file["columns"]:
        parts.append(f"read from {file['columns']['id'] or 'no id'}: {', '.join(file['columns']['text'])}")
    return "; ".join(filter(None, parts))


def print_forecast(on: Console, forecast: dict[str, Any]) -> None:
    table = plain_table("", "", "")
    shards = forecast["shards"]
    why = ", ".join(f"{reason}: {count:,}" for reason, count in shards["why"].items())
    add_row(table, "shards to read", f"{shards['to_read']:,} of {shards['found']:,}", why)
    if "vanished" in shards:
        add_row(table, "shards vanished", f"{shards['vanished']:,}", "documents that are in no other file are removed")
    add_row(table, "size", f"{forecast['bytes_to_read'] / 1e6:,.1f} MB", "")
    add_row(table, "documents", f"about {forecast['documents_expected']:,}", "those already in the tables are skipped")
    on.print(table)
    for file in forecast["files"]:
        on.print(one_line(f"{file['why']}: {file['shard']} ({file['bytes']:,} bytes)"), soft_wrap=True, highlight=False)
    if (more := shards["to_read"] - len(forecast["files"])) > 0:
        on.print(f"and {more:,} more")


def mention_file_summary(counts: dict[str, Any], destination: str) -> str:
    """The counts of `annotate --to` in a line."""
    labels = ", ".join(f"{label} {count:,}" for label, count in sorted(counts["entities"].items()))
    mentions = sum(counts["entities"].values())
    parts = [f"{counts['documents']:,} documents, {mentions:,} mentions ({labels or 'none'})"]
    if counts["deletions"]:
        parts.append(f"{counts['deletions']:,} deletions, which only tables can apply")
    if counts["files_passed_over"]:
        parts.append(f"{counts['files_passed_over']:,} files are no input by their names")
    return "; ".join([*parts, *([] if destination == "-" else [f"written to {destination}"])])
