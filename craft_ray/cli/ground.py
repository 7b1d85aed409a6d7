"""`craft-ray ground`."""

import json
from typing import Annotated

import typer

from craft_ray.cli.options import Json, Output, Quiet, SettingsFile, locate_tables
from craft_ray.core.errors import SettingsError

EXAMPLES = """Examples:

    craft-ray ground tables --ontology chebi.obo.gz --keep-versions 1

    craft-ray diff tables
"""


def ground(
    output: Output,
    ontology: Annotated[
        list[str] | None,
        typer.Option(
            help="Ontology or compiled lexicon, on disk or s3://; repeatable.",
            metavar="FILE",
            show_default="the lexicon that ships",
        ),
    ] = None,
    keep_versions: Annotated[
        int | None, typer.Option(help="Earlier states of the tables to keep.", min=0, show_default="as the last run")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Give the entities of an output their concept ids anew, without the model.

    No entity comes or goes. All ids change in one commit. A run that was stopped or killed goes on from the files that
    are done.
    """
    from craft_ray.annotation.ground import ground as run
    from craft_ray.core.settings import load_settings

    locate_tables(output, settings)
    chosen = load_settings(settings, ontology=ontology, keep_versions=keep_versions)
    if not chosen.concepts:
        raise SettingsError("concepts are switched off by the settings, so there is nothing to ground with")
    summary = run(output, chosen)
    if as_json:
        print(json.dumps(summary))
    elif not quiet:
        print(f"{summary['entities']:,} entities in {summary['files']:,} new files: {summary['status']}")
