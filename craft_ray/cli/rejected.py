"""`craft-ray rejected`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from craft_ray.cli.options import At, Json, Output, SettingsFile, choice, locate_tables, open_tables
from craft_ray.cli.rows import Csv, Limit, print_result

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
        bool, typer.Option("--retry", help="Let the next `annotate` read their files again even if unchanged.")
    ] = False,
    limit: Limit = 100,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List rejected documents and broken shards with the reasons.

    An id that ends in `#unreadable` represents the rest of a damaged file. The next `annotate` over the same inputs
    retries documents whose reason is `failed` or `unreadable`. A document rejected for its content is retried when its
    file or the version of craft_ray has changed, or after `--retry`.
    """
    from craft_ray.core.schema import REASONS
    from craft_ray.report.queries import rejected_documents

    if reason is not None:
        choice("--reason", reason, *REASONS)
    if retry:
        _retry(output, reason, settings, as_json)
        return
    with open_tables(output, settings, at).connect("documents") as connection:
        rows = rejected_documents(connection, reason, limit)
    print_result(rows, as_csv, as_json)


def _retry(output: str, reason: str | None, settings: Path | None, as_json: bool) -> None:
    from craft_ray.tables.reprocess import mark_for_reprocessing

    names = mark_for_reprocessing(*locate_tables(output, settings), reason)
    if as_json:
        print(json.dumps({"to_read_again": names}))
    else:
        print(f"the next `craft-ray annotate` reads {len(names):,} files again, where they are among its inputs")
