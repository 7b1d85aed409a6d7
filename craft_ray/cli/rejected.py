"""`craft-ray rejected`."""

from typing import Annotated

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile
from craft_ray.cli.query import Limit, database_of
from craft_ray.cli.rows import Csv, print_rows

EXAMPLES = """Examples:

    craft-ray rejected tables

    craft-ray rejected tables --reason bad_xml --csv > rejected.csv
"""


def rejected(
    output: Output,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only documents rejected for this reason.", show_default="all")
    ] = None,
    limit: Limit = 100,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List rejected documents and broken shards: which, and why.

    An id that ends in `#unreadable` stands for what a damaged file did not give. The next `annotate` over the same
    inputs reads such a file again, and documents that failed too. A document whose content is bad is tried again when
    its file has changed.
    """
    from craft_ray.cli.options import choice
    from craft_ray.core.schema import REASONS
    from craft_ray.report.queries import rejected_documents

    if reason is not None:
        choice("--reason", reason, *REASONS)
    with database_of(output, at, settings) as (connection, _):
        rows = rejected_documents(connection, reason, limit)
        print_rows(rows.to_reader(), "csv" if as_csv else "json" if as_json else "table")
