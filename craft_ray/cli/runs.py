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
    """List the runs that wrote to an output, with their counts.

    A run that ended without recording its result is `killed`. It is `running` as long as it may still be alive.
    """
    from craft_ray.tables.records import runs_of

    storage, location = open_storage(output, settings)
    records = list(islice(runs_of(storage, location), limit))
    if not records:
        hint = f"`craft-ray annotate INPUT --output {output}` does"
        raise SettingsError(f"no run has written to {output}: {hint}{similar_output(location)}")
    if as_json:
        print(json.dumps(records))
    else:
        print_runs(console(), records)


def print_runs(on: Console, records: list[dict[str, Any]]) -> None:
    """Print run records, one per line, followed by the models that they name."""
    table = Table(box=None, pad_edge=False)
    counts = ("annotated", "rejected", "deleted", "unchanged", "superseded")
    for name in ("run", "status", *counts, "entities", "seconds", "version", "model"):
        table.add_column(name, justify="left" if name in ("run", "status", "model") else "right", no_wrap=name == "run")
    for record in records:
        account = record.get("account")
        figures = [f"{account['documents'][name]:,}" for name in counts] if account else [""] * len(counts)
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
