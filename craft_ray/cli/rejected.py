"""`craft-ray rejected`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, open_tables
from craft_ray.cli.query import Limit, database_of
from craft_ray.cli.rows import Csv, print_rows

EXAMPLES = """Examples:

    craft-ray rejected tables

    craft-ray rejected tables --reason bad_xml --csv > rejected.csv

    craft-ray rejected tables --retry
"""


def rejected(
    output: Output,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only documents rejected for this reason.", show_default="all")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Let the next `annotate` read their files again, though unchanged.")
    ] = False,
    limit: Limit = 100,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List rejected documents and broken shards: which, and why.

    An id that ends in `#unreadable` stands for what a damaged file did not give. The next `annotate` over the same
    inputs tries again what is `failed` or `unreadable`. What is rejected for its content is tried again when its file
    or craft_ray's version has changed, or after `--retry`.
    """
    from craft_ray.cli.options import choice
    from craft_ray.core.schema import REASONS
    from craft_ray.report.queries import rejected_documents

    if reason is not None:
        choice("--reason", reason, *REASONS)
    if retry:
        _retry(output, reason, settings, as_json)
        return
    with database_of(output, at, settings) as (connection, _):
        rows = rejected_documents(connection, reason, limit)
        print_rows(rows.to_reader(), "csv" if as_csv else "json" if as_json else "table")


def _retry(output: str, reason: str | None, settings: Path | None, as_json: bool) -> None:
    """Mark shards to be read again, and print how many."""
    from craft_ray.tables.reprocess import mark_for_reprocessing

    names = mark_for_reprocessing(*open_tables(output, settings), reason)
    if as_json:
        print(json.dumps({"to_read_again": names}))
    else:
        print(f"the next `craft-ray annotate` reads {len(names):,} files again, where they are among its inputs")
