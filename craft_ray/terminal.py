"""What a person reads on a terminal: tables of a run, of runs, of what changed."""

from typing import Any

from rich.console import Console
from rich.table import Table

from craft_ray.changes import KINDS
from craft_ray.labels import LABELS


def print_entities(console: Console, rows: list[dict[str, Any]]) -> None:
    """Entities as a table, the most telling columns."""
    table = Table(box=None, pad_edge=False)
    for name in ("doc_id", "section", "label", "mention", "start", "end", "score"):
        table.add_column(name, justify="right" if name in ("start", "end", "score") else "left")
    for row in rows:
        table.add_row(
            row["doc_id"],
            row["section"],
            row["label"],
            row["mention"],
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
                table.add_row(row["mention"], f"{row['change']:+,}", row["label"])
            console.print(table, highlight=False)


def _state(side: dict[str, Any]) -> str:
    version = f"version {side['versions']['documents']}"
    return f"{side['run_id']} ({version})" if side["run_id"] else version


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        last = number == len(columns) - 1
        table.add_column(name, justify="left" if number == 0 or last else "right", style="dim" if last else None)
    return table
