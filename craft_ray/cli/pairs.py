"""`craft-ray pairs`."""

from typing import Annotated

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, known_labels
from craft_ray.cli.query import Limit, database_of
from craft_ray.cli.rows import Csv, print_rows
from craft_ray.core.errors import SettingsError


def pairs(
    output: Output,
    labels: Annotated[str, typer.Option(help="Two labels, as Chemical,Protein.", metavar="LABEL,LABEL")],
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Pair concepts with all their spellings, and not mentions.")
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
    from craft_ray.report.queries import has_concepts
    from craft_ray.report.queries import pairs as run

    if labels.count(",") != 1:
        raise SettingsError(f"--labels {labels}: give two labels, as Chemical,Protein")
    by = choice("--by", by, "lift", "sentences")
    with database_of(output, at, settings) as (connection, held):
        first, second = known_labels(labels.split(","), held)
        if concepts and not has_concepts(connection):
            raise SettingsError(f"the entities of {output} have no ids: `craft-ray ground {output}` gives them")
        rows = run(connection, first, second, by, at_least, limit, concepts)
        print_rows(rows.to_reader(), "csv" if as_csv else "json" if as_json else "table")
