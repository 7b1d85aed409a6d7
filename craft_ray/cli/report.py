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
        typer.Option("--html", "-o", help="The page, on disk or s3://; replaced if it exists.", metavar="FILE"),
    ],
    samples: Annotated[int, typer.Option(help="Documents to show with their entities marked.", min=0, max=200)] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the choice of documents, and of the sample of large tables.")] = 0,
    exact: Annotated[
        bool, typer.Option("--exact", help="Read all entities even if there are more than 100 million.")
    ] = False,
    title: Annotated[
        str | None, typer.Option(help="Heading of the page.", show_default="the folder of the tables")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Write a report of an output as one HTML page, small enough to mail.

    The page needs no network. It counts documents by status, and entities by label, section, year and score. It lists
    the most frequent mentions with their spellings, the rejected documents with the reasons, the changes since the run
    before if that state was kept (`--keep-versions`), and the speed of the run. It shows some documents with their
    entities marked. If there are more than 100 million entities, figures of sections, scores and mentions are estimated
    from a sample, and the page says so.
    """
    show = (lambda step: None) if quiet else partial(print_status, console(stderr=True))
    tables = open_tables(output, settings)
    written = tables.report(html, samples=samples, seed=seed, exact=exact, title=title, progress=show)
    if as_json:
        print(json.dumps(written))
    elif not quiet:
        read = f"{written['rows_read']:,} of {written['rows']:,}" if written["sampled"] else f"all {written['rows']:,}"
        print(f"{written['html']}: {written['bytes'] / 1e6:.1f} MB, {read} entities read in {written['seconds']} s")
