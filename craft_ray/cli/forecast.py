"""The table of `craft-ray annotate --dry-run`."""

from typing import Any

from rich.console import Console

from craft_ray.cli.console import add_row, plain_table
from craft_ray.core.text import one_line


def print_forecast(on: Console, told: dict[str, Any]) -> None:
    """Print what a run would do, and each shard that it would read."""
    table = plain_table("", "", "")
    shards, plan = told["shards"], told["plan"]
    why = ", ".join(f"{reason}: {count:,}" for reason, count in shards["why"].items())
    add_row(table, "shards to read", f"{shards['to_read']:,} of {shards['found']:,}", why)
    if "vanished" in shards:
        add_row(table, "shards vanished", f"{shards['vanished']:,}", "documents that are in no other file are removed")
    add_row(table, "size", f"{told['bytes_to_read'] / 1e6:,.1f} MB", "")
    add_row(table, "documents", f"about {told['documents_expected']:,}", "new and known ones; known ones are skipped")
    add_row(table, "tokens", f"about {told['tokens_expected']:,}", "")
    add_row(table, "replicas", f"{plan['replicas']:,} on {plan['device']}", f"{plan['read_tasks']:,} tasks to read")
    speed = told["replica_tokens_per_second"]
    add_row(table, "speed of a replica", f"{speed:,.0f} tokens/s" if speed else "unknown", "" if speed else _UNKNOWN)
    if told["seconds_expected"] is not None:
        add_row(table, "time of the model", f"about {told['seconds_expected'] / 60:,.1f} min", "at most")
    if told["cost_expected"] is not None:
        add_row(table, "cost", f"about {told['cost_expected']:,.2f}", "by --price")
    on.print(table)
    for file in told["files"]:
        on.print(one_line(f"{file['why']}: {file['shard']} ({file['bytes']:,} bytes)"), soft_wrap=True, highlight=False)
    if (more := shards["to_read"] - len(told["files"])) > 0:
        on.print(f"and {more:,} more")


_UNKNOWN = "give --replica-speed for hardware that is not here"
