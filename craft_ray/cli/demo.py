"""`craft-ray demo`."""

from pathlib import Path
from typing import Annotated

import typer

from craft_ray.cli.annotate import annotate
from craft_ray.cli.options import SettingsFile, open_tables

SAMPLE = Path(__file__).parent.parent / "sample"
"""Three citations and an article that ship with the package."""


def demo(
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder of the tables; made if absent.")
    ] = "craft-ray-demo",
    settings: SettingsFile = None,
) -> None:
    """Annotate a sample that ships with craft_ray, write a report, and suggest commands to try next."""
    from craft_ray.report.report import write_report
    from craft_ray.storage.addresses import join

    annotate([str(SAMPLE)], output, settings=settings)
    tables = open_tables(output, settings)
    page = write_report(tables, join(tables.location, "report.html"))
    print(f"\nOpen {page['html']} in a browser, and try:\n")
    for command in (
        f"craft-ray show PMID:990000001 --in {output}",
        f"craft-ray top {output} --label Protein",
        f'craft-ray query {output} "SELECT label, count(*) FROM entities GROUP BY 1"',
        f"craft-ray export {output} {output}-bioc --to bioc-xml",
    ):
        print(f"    {command}")
