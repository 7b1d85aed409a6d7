"""`craft-ray pairs`."""

from typing import Annotated, Any, cast

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, open_tables
from craft_ray.cli.rows import Csv, Limit, print_result
from craft_ray.core.errors import SettingsError


def pairs(
    output: Output,
    labels: Annotated[str, typer.Option(help="Two labels, as Chemical,Protein.", metavar="LABEL,LABEL")],
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Pair concepts with all their spellings, not mentions.")
    ] = False,
    by: Annotated[str, typer.Option(help="Sort by lift, or by sentences.", metavar="WHAT")] = "lift",
    at_least: Annotated[int, typer.Option(help="Sentences in which a pair must occur.", min=1)] = 3,
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List mentions that occur together in a sentence.

    `lift` is how much more often two mentions share a sentence than if they were independent, among the sentences that
    have any mention.
    """
    if labels.count(",") != 1:
        raise SettingsError(f"--labels {labels}: give two labels, as Chemical,Protein")
    by = choice("--by", by, "lift", "sentences")
    tables = open_tables(output, settings, at)
    first, second = labels.split(",")
    rows = tables.pairs(first, second, concepts=concepts, by=cast(Any, by), at_least=at_least, limit=limit)
    print_result(rows, as_csv, as_json)
