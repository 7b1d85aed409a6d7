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
    by: Annotated[str, typer.Option(help="Sort by lift, npmi, sentences or documents.", metavar="WHAT")] = "lift",
    within: Annotated[
        str, typer.Option(help="What a pair must share: a sentence or a document.", metavar="UNIT")
    ] = "sentence",
    at_least: Annotated[int, typer.Option(help="Sentences or documents that a pair must share.", min=1)] = 3,
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List mentions that occur together in a sentence.

    `lift` is how much more often two mentions share a sentence than if they were independent, among the sentences that
    have any mention. It is highest for rare mentions. `npmi`, the normalized pointwise mutual information, is 0 for
    independent mentions and 1 for two that only occur together.
    """
    if labels.count(",") != 1:
        raise SettingsError(f"--labels {labels}: give two labels, as Chemical,Protein")
    within = choice("--within", within, "sentence", "document")
    by = choice("--by", by, "lift", "npmi", "documents", *(["sentences"] if within == "sentence" else []))
    tables = open_tables(output, settings, at)
    first, second = labels.split(",")
    rows = tables.pairs(
        first, second, concepts=concepts, by=cast(Any, by), within=cast(Any, within), at_least=at_least, limit=limit
    )
    print_result(rows, as_csv, as_json)
