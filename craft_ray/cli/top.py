"""`craft-ray top`."""

from typing import Annotated

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, known_labels
from craft_ray.cli.query import Limit, database_of
from craft_ray.cli.rows import Csv, print_rows
from craft_ray.core.errors import SettingsError


def top(
    output: Output,
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Only this label; repeatable.", show_default="all")
    ] = None,
    under: Annotated[
        list[str] | None,
        typer.Option(
            help="Only concepts that are this class or one below it, as CHEBI:35341; repeatable.", metavar="ID"
        ),
    ] = None,
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Count concepts with all their spellings, and not mentions.")
    ] = False,
    by: Annotated[str, typer.Option(help="Count mentions or documents.", metavar="WHAT")] = "mentions",
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List the most frequent mentions, or with `--concepts` and `--under` the most frequent concepts."""
    from craft_ray.report.queries import has_concepts, nearest_class, top_concepts, top_mentions, unknown_classes

    by = choice("--by", by, "mentions", "documents")
    with database_of(output, at, settings) as (connection, held):
        labels = known_labels(label or [], held)
        if concepts or under:
            if not has_concepts(connection):
                raise SettingsError(f"the entities of {output} have no ids: `craft-ray ground {output}` gives them")
            if unknown := unknown_classes(connection, under or []):
                like = nearest_class(connection, unknown[0])
                told = f"no concept in {output} is {unknown[0]} or below it"
                raise SettingsError(f"{told}; did you mean {like}?" if like else told)
            rows = top_concepts(connection, labels, under or [], by, limit)
        else:
            rows = top_mentions(connection, labels, by, limit)
        print_rows(rows.to_reader(), "csv" if as_csv else "json" if as_json else "table")
