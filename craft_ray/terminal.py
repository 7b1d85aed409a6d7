"""What a person reads on a terminal: tables of a run, of runs, of what changed, and documents with their entities.

What comes from documents is shown with its control characters replaced: a terminal would obey them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.changes import KINDS
from craft_ray.labels import LABELS

STYLES = {
    "Sequence": "black on #e69f00",
    "Cell": "black on #56b4e9",
    "Protein": "white on #0072b2",
    "Gene": "black on #009e73",
    "Taxon": "black on #f0e442",
    "Chemical": "black on #cc79a7",
}
"""How each label is marked: the colours of Okabe and Ito (jfly.uni-koeln.de/color), for the colour-blind as well."""

_UNSAFE = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def safe(text: str) -> str:
    """A text without what a terminal would obey, each such character replaced by one."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)


def print_document(console: Console, document: Mapping[str, Any], entities: Sequence[Mapping[str, Any]]) -> None:
    """A document (columns of `documents`, or fields of an item) with its entities marked where they stand.

    In colour the label stands behind the first letter of it; without colour, as `[Pax6|Protein]`.
    """
    about = [document.get(name) for name in ("doc_id", "year", "journal")]
    if any(about):
        console.print(Text(safe("  ".join(str(part) for part in about if part))), style="bold")
    if document.get("reason") or document.get("status", "annotated") != "annotated":
        parts = (document.get(name) for name in ("status", "reason", "detail"))
        console.print(Text(safe(": ".join(str(part) for part in parts if part))))
        return
    if document.get("text") is None:
        console.print("withdrawn, or kept without its text", style="dim")
        return
    for section in document["sections"]:
        inside = [e for e in entities if section["start"] <= e["start"] < section["end"]]
        if section["name"] not in ("title", "text"):
            console.print(Text(safe(section["name"])), style="dim")
        console.print(_marked(document["text"], section, inside, console.color_system is not None), soft_wrap=True)
    counts = Counter(entity["label"] for entity in entities)
    legend = Text()
    for label, count in counts.most_common():
        legend.append(f" {label[:1]} {safe(label)} ", STYLES.get(label, "reverse")).append(f" {count:,}  ")
    console.print(legend)


def _marked(text: str, section: Mapping[str, Any], entities: Sequence[Mapping[str, Any]], coloured: bool) -> Text:
    """A section's text with its entities marked."""
    marked, at = Text(), section["start"]
    for entity in sorted(entities, key=lambda entity: int(entity["start"])):
        marked.append(safe(text[at : entity["start"]]))
        mention, at = safe(text[entity["start"] : entity["end"]]), entity["end"]
        if coloured:
            style = STYLES.get(entity["label"], "reverse")
            marked.append(mention, style).append(entity["label"][:1], f"{style} italic dim")
        else:
            marked.append(f"[{mention}|{safe(entity['label'])}]")
    return marked.append(safe(text[at : section["end"]]))


def print_rows(console: Console, rows: pa.Table) -> None:
    """A table of any columns."""
    table = Table(box=None, pad_edge=False)
    for column in rows.schema:
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        table.add_column(safe(column.name), justify="right" if number else "left")
    for row in rows.to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table, highlight=False)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, float):
        return Text(f"{value:,.3f}")
    return Text(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else safe(str(value)))


def print_entities(console: Console, rows: list[dict[str, Any]]) -> None:
    """Entities as a table, the most telling columns."""
    table = Table(box=None, pad_edge=False)
    for name in ("doc_id", "section", "label", "mention", "start", "end", "score"):
        table.add_column(name, justify="right" if name in ("start", "end", "score") else "left")
    for row in rows:
        table.add_row(
            *(Text(safe(row[name])) for name in ("doc_id", "section", "label", "mention")),
            str(row["start"]),
            str(row["end"]),
            f"{row['score']:.3f}",
        )
    console.print(table, highlight=False)


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


def print_runs(console: Console, records: list[dict[str, Any]]) -> None:
    """Run records, a line each."""
    table = Table(box=None, pad_edge=False)
    counted = ("annotated", "rejected", "deleted", "unchanged", "superseded")
    for name in ("run", "status", *counted, "entities", "seconds", "version", "model"):
        table.add_column(name, justify="left" if name in ("run", "status", "model") else "right", no_wrap=name == "run")
    for record in records:
        account = record.get("account")
        figures = [f"{account['documents'][name]:,}" for name in counted] if account else [""] * len(counted)
        table.add_row(
            record["run_id"],
            record["status"],
            *figures,
            f"{sum(account['entities'].values()):,}" if account else "",
            f"{account['seconds']:,.0f}" if account else "",
            str(record.get("tables", {}).get("documents", "")),
            record["model"]["fingerprint"][:12],
        )
    console.print(table, highlight=False)


def print_changes(console: Console, changes: dict[str, Any]) -> None:
    """What `changes.compare` found, the empty parts left out."""
    documents = changes["documents"]
    older, newer = (_state(changes[side]) for side in ("from", "to"))
    console.print(f"from {older} to {newer}", highlight=False)
    table = _plain_table("documents", "", "")
    table.add_row("before", f"{documents['before']:,}", "rows")
    for kind, meaning in KINDS.items():
        if documents[kind]:
            named = documents["examples"].get(kind, [])
            examples = ", ".join(named[:3]) + (", ..." if documents[kind] > 3 else "")
            table.add_row(kind.replace("_", " "), f"{documents[kind]:,}", f"{meaning}: {examples}")
    table.add_row("after", f"{documents['after']:,}", "rows")
    console.print(table, highlight=False)
    table = _plain_table("entities", "before", "after", "change", "")
    for label, row in changes["entities"].items():
        share = f" ({row['after'] / row['before'] - 1:+.1%})" if row["before"] else ""
        causes = ", ".join(f"{change:+,} {kind.replace('_', ' ')}" for kind, change in row["by_cause"].items())
        change = f"{row['after'] - row['before']:+,}{share}"
        table.add_row(label, f"{row['before']:,}", f"{row['after']:,}", change, causes)
    console.print(table, highlight=False)
    for side, mentions in changes["mentions"].items():
        if mentions:
            table = _plain_table(f"mentions that {side} most", "", "")
            for row in mentions:
                table.add_row(Text(safe(row["mention"])), f"{row['change']:+,}", row["label"])
            console.print(table, highlight=False)


def print_sizes(console: Console, sizes: Mapping[str, Any]) -> None:
    """Files and bytes of tables, before and after a compaction."""
    table = _plain_table("table", "files before", "after", "MB before", "after", "rows")
    for name, size in sizes.items():
        before, after = size["before"], size["after"]
        table.add_row(
            name,
            f"{before['files']:,}",
            f"{after['files']:,}",
            f"{before['bytes'] / 1e6:,.1f}",
            f"{after['bytes'] / 1e6:,.1f}",
            f"{after['rows']:,}",
        )
    console.print(table, highlight=False)


def print_export(console: Console, manifest: Mapping[str, Any]) -> None:
    """The account of an export."""
    for what in ("documents", "entities"):
        table = _plain_table(what, "")
        for name, number in manifest[what].items():
            if number or name in ("annotated", "found", "exported"):
                table.add_row(name.replace("_", " "), f"{number:,}")
        console.print(table, highlight=False)
    for reason, number in manifest["unrepresentable"]["reasons"].items():
        console.print(f"unrepresentable: {reason}: {number:,} documents", highlight=False)
    console.print(f"{len(manifest['shards']):,} shards, {manifest['bytes'] / 1e6:,.1f} MB", highlight=False)


def _state(side: dict[str, Any]) -> str:
    version = f"version {side['versions']['documents']}"
    return f"{side['run_id']} ({version})" if side["run_id"] else version


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        last = number == len(columns) - 1
        table.add_column(name, justify="left" if number == 0 or last else "right", style="dim" if last else None)
    return table
