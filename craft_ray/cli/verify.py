"""`craft-ray verify`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from craft_ray.cli.console import console
from craft_ray.cli.options import Json, Output, SettingsFile, locate_tables
from craft_ray.core.text import one_line


def verify(
    output: Output,
    documents: Annotated[
        int | None,
        typer.Option(help="Documents to check the offsets of, drawn at random.", min=1, show_default="all"),
    ] = None,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Check the tables against what they promise, row by row and file by file.

    Reads everything and writes nothing. Prints one line per check, with the first ten faults of each, and ends with
    exit code 1 if there are any.
    """
    from craft_ray.tables.verify import verify

    storage, location = locate_tables(output, settings)
    checks = []
    on = console(stderr=as_json)
    for check in verify(storage, location, documents):
        checks.append(check)
        found = f"{check.faults:,} faults" if check.faults else "ok"
        on.print(one_line(f"{found:>10}  {check.claim} ({check.checked:,})"), style="red" if check.faults else None)
        for example in check.examples:
            on.print(one_line(f"            {example}"), soft_wrap=True)
    faults = sum(check.faults for check in checks)
    if as_json:
        print(json.dumps({"output": location, "faults": faults, "checks": [asdict(check) for check in checks]}))
    if faults:
        raise typer.Exit(1)
