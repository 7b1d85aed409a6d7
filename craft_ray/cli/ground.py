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
    """Replace the concept ids of an output's entities, without the model.

    No entity is added or removed, and all ids change in one commit. After an interruption, the same command continues
    with the files that are left.
    """
    from craft_ray.annotation.ground import ground as run
    from craft_ray.core.settings import load_settings

    chosen = load_settings(settings, ontology=ontology, keep_versions=keep_versions)
    locate_tables(output, chosen)
    if not chosen.concepts:
        raise SettingsError("the settings switch concepts off, so there is nothing to ground with")
    summary = run(output, chosen)
    if as_json:
        print(json.dumps(summary))
    elif not quiet:
        print(f"{summary['entities']:,} entities in {summary['files']:,} new files: {summary['status']}")
