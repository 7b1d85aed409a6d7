"""`craft-ray top`."""

from typing import Annotated

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, known_labels, open_tables
from craft_ray.cli.rows import Csv, Limit, print_result
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
        bool, typer.Option("--concepts", help="Count concepts with all their spellings, not mentions.")
    ] = False,
    by: Annotated[str, typer.Option(help="Count mentions or documents.", metavar="WHAT")] = "mentions",
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List the most frequent mentions, or with `--concepts` and `--under` the most frequent concepts."""
    from craft_ray.report.queries import nearest_class, top_concepts, top_mentions, unknown_classes

    by = choice("--by", by, "mentions", "documents")
    tables = open_tables(output, settings, at)
    labels = known_labels(label or [], tables)
    with tables.connect("entities", "ancestors") as connection:
        if not (concepts or under):
            rows = top_mentions(connection, labels, by, limit)
        elif unknown := unknown_classes(connection, under or []):
            similar = nearest_class(connection, unknown[0])
            hint = f"; did you mean {similar}?" if similar else ""
            raise SettingsError(f"no concept in {output} is {unknown[0]} or below it{hint}")
        else:
            rows = top_concepts(connection, labels, under or [], by, limit)
    print_result(rows, as_csv, as_json)
