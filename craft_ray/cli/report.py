"""`craft-ray report`."""

import json
from functools import partial
from typing import Annotated

import typer

from craft_ray.cli.console import console, print_status
from craft_ray.cli.options import Json, Output, Quiet, SettingsFile, open_tables

EXAMPLES = """Examples:

    craft-ray report tables --html report.html

    craft-ray report s3://bucket/tables --html s3://bucket/reports/today.html --samples 30
"""


def report(
    output: Output,
    html: Annotated[
        str,
        typer.Option("--html", "-o", help="The page, on disk or s3://; written over if it is there.", metavar="FILE"),
    ],
    samples: Annotated[int, typer.Option(help="Documents to show with their entities marked.", min=0, max=200)] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the choice of documents, and of rows of large tables.")] = 0,
    exact: Annotated[
        bool, typer.Option("--exact", help="Read all entities, also where there are more than 100 million.")
    ] = False,
    title: Annotated[
        str | None, typer.Option(help="Heading of the page.", show_default="the folder of the tables")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Write a page about an output that a mail can carry: what ran, what was found, and documents to look at.

    The page is one HTML file that needs no network. It counts documents by what became of them, and entities by label,
    section, year and score. It lists the most frequent mentions with their spellings, and what was rejected and why. It
    tells what changed since the run before, where that state is kept (`--keep-versions`), and how fast the run was. It
    shows some documents with their entities marked. Of more than 100 million entities it reads a sample for sections,
    scores and mentions, and says so.
    """
    from craft_ray.report.report import ROWS, write_report
    from craft_ray.storage.addresses import absolute

    storage, folder = open_tables(output, settings)
    on = console(stderr=True)
    written = write_report(
        storage,
        folder,
        absolute(html),
        samples,
        seed,
        None if exact else ROWS,
        tell=(lambda step: None) if quiet else partial(print_status, on),
        title=title,
    )
    if as_json:
        print(json.dumps(written))
    elif not quiet:
        read = f"{written['rows_read']:,} of {written['rows']:,}" if written["sampled"] else f"all {written['rows']:,}"
        print(f"{written['html']}: {written['bytes'] / 1e6:.1f} MB, {read} entities read in {written['seconds']} s")
