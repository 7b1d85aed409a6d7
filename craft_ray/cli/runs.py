"""`craft-ray runs`."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from craft_ray.cli.console import console
from craft_ray.cli.options import Json, Output, SettingsFile, open_storage, similar_output
from craft_ray.cli.rows import Csv, print_rows
from craft_ray.core.errors import SettingsError
from craft_ray.core.text import one_line

if TYPE_CHECKING:
    import pyarrow as pa


def runs(
    output: Output,
    limit: Annotated[int, typer.Option(help="Runs to list, the newest first.", min=1)] = 20,
    as_csv: Csv = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """List the runs that wrote to an output, with their counts.

    A run that ended without recording its result is `killed`. It is `running` as long as it may still be alive.
    """
    from craft_ray.tables.records import runs_of

    storage, location = open_storage(output, settings)
    records = list(islice(runs_of(storage, location), limit))
    if not records:
        hint = f"`craft-ray annotate INPUT --output {output}` does"
        raise SettingsError(f"no run has written to {output}: {hint}{similar_output(location)}")
    if as_json:
        print(json.dumps(records))
        return
    print_rows(run_rows(records).to_reader(), "csv" if as_csv else "table")
    if not as_csv:
        sources = {record["model"]["fingerprint"][:12]: record["model"]["source"] for record in records}
        for fingerprint, source in sources.items():
            console().print(one_line(f"model {fingerprint}: {source}"), style="dim", soft_wrap=True)


def run_rows(records: Sequence[Mapping[str, Any]]) -> "pa.Table":
    """A row per run record, with what is asked for most on the left."""
    import pyarrow as pa

    rows = []
    for record in records:
        account = record.get("account") or {"documents": {}, "entities": {}}
        documents = account["documents"]
        rows.append(
            {
                "run": record["run_id"],
                "status": record["status"],
                "annotated": documents.get("annotated"),
                "entities": sum(account["entities"].values()) if documents else None,
                "rejected": documents.get("rejected"),
                "seconds": round(account["seconds"]) if documents else None,
                "deleted": documents.get("deleted"),
                "unchanged": documents.get("unchanged"),
                "superseded": documents.get("superseded"),
                "version": record.get("tables", {}).get("documents"),
                "model": record["model"]["fingerprint"][:12],
            }
        )
    schema = pa.schema([(name, pa.string() if name in ("run", "status", "model") else pa.int64()) for name in rows[0]])
    return pa.Table.from_pylist(rows, schema)
