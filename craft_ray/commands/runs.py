"""Commands about the runs that made an output: `runs`, `diff`."""

import json
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from craft_ray.commands.options import Json, Output

DIFF_EXAMPLES = """Examples:

    craft-ray diff tables

    craft-ray diff tables --from 20261124T020000 --to 20261125T020000

    craft-ray diff tables --from 41 --to 57 --json
"""


def runs(
    output: Output,
    limit: Annotated[int, typer.Option(help="Runs to list, the newest first.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """List the runs that made an output, with their counts.

    A run that was killed before it could say how it ended is `killed`, and `running` while it may still be at work.
    """
    from craft_ray.lease import holder
    from craft_ray.runs import read_records
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage, absolute
    from craft_ray.terminal import print_runs

    storage, output = Storage(load_settings().s3), absolute(output)
    at_work = holder(storage, output)
    records = list(islice(read_records(storage, output), limit))
    for record in records:
        if record["status"] == "running" and record["run_id"] != at_work:
            record["status"] = "killed"
    if as_json:
        print(json.dumps(records))
    else:
        console = Console()
        print_runs(Console(width=max(console.width, 140)), records)


def diff(
    output: Output,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Run id (or its beginning), or version of `documents`.",
            metavar="V1",
            show_default="before the last change",
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(help="Likewise.", metavar="V2", show_default="now")] = None,
    top: Annotated[int, typer.Option(help="Mentions, and documents of each kind, to name.", min=0)] = 10,
    as_json: Json = False,
) -> None:
    """Tell what changed between two states of an output, and why there are more or fewer entities of a label.

    Documents added, revised, deleted and so on; entities by label and by what became of their documents; the mentions
    that gained and lost most. A run id stands for the state that the run left. Earlier states are there where runs have
    kept them: `craft-ray annotate --keep-versions`.
    """
    from craft_ray.changes import compare
    from craft_ray.settings import load_settings
    from craft_ray.snapshots import before_last_change, open_snapshot
    from craft_ray.storage import Storage, absolute
    from craft_ray.terminal import print_changes

    storage, output = Storage(load_settings().s3), absolute(output)
    older = open_snapshot(storage, output, from_ or before_last_change(storage, output))
    changes = compare(older, open_snapshot(storage, output, to), top)
    if as_json:
        print(json.dumps(changes))
    else:
        print_changes(Console(), changes)
