"""`craft-ray runs`."""

import json
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from craft_ray.cli.console import add_row, console
from craft_ray.cli.options import Json, Output, SettingsFile, open_storage, similar_output
from craft_ray.core.errors import SettingsError
from craft_ray.core.text import one_line


def runs(
    output: Output,
    limit: Annotated[int, typer.Option(help="Runs to list, the newest first.", min=1)] = 20,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List the runs that made an output, with their counts.

    A run that was killed before it could say how it ended is `killed`, and `running` while it may still be at work.
    """
    from craft_ray.tables.records import runs_of

    storage, folder = open_storage(output, settings)
    records = list(islice(runs_of(storage, folder), limit))
    if not records:
        made = f"`craft-ray annotate INPUT --output {output}` does"
        raise SettingsError(f"no run has written to {output}: {made}{similar_output(folder)}")
    if as_json:
        print(json.dumps(records))
    else:
        print_runs(console(), records)


def print_runs(on: Console, records: list[dict[str, Any]]) -> None:
    """Run records, one per line, and below them the models that they name."""
    table = Table(box=None, pad_edge=False)
    counted = ("annotated", "rejected", "deleted", "unchanged", "superseded")
    for name in ("run", "status", *counted, "entities", "seconds", "version", "model"):
        table.add_column(name, justify="left" if name in ("run", "status", "model") else "right", no_wrap=name == "run")
    for record in records:
        account = record.get("account")
        figures = [f"{account['documents'][name]:,}" for name in counted] if account else [""] * len(counted)
        add_row(
            table,
            record["run_id"],
            record["status"],
            *figures,
            f"{sum(account['entities'].values()):,}" if account else "",
            f"{account['seconds']:,.0f}" if account else "",
            str(record.get("tables", {}).get("documents", "")),
            record["model"]["fingerprint"][:12],
        )
    on.print(table)
    sources = {record["model"]["fingerprint"][:12]: record["model"]["source"] for record in records}
    for fingerprint, source in sources.items():
        on.print(one_line(f"model {fingerprint}: {source}"), style="dim", soft_wrap=True)
