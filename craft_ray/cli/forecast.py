"""The table of `craft-ray annotate --dry-run`."""

from typing import Any

from rich.console import Console

from craft_ray.cli.console import add_row, plain_table
from craft_ray.core.text import one_line


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
