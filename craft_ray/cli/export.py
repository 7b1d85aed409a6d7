"""`craft-ray export`."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any

import typer
from rich.console import Console

from craft_ray.cli.console import add_row, console, plain_table, print_status
from craft_ray.cli.options import At, Json, Output, Quiet, SettingsFile, open_tables
from craft_ray.cli.rows import ExcelSafe
from craft_ray.export.formats import EXPORTERS

EXAMPLES = {
    "export": (
        "craft-ray export tables corpus --to bioc-xml",
        "craft-ray export s3://bucket/tables s3://bucket/proteins "
        "--to csv --label Protein --label Gene --min-score 0.9",
        "craft-ray export tables brat --to brat --doc-id PMID:26228458 && tar xzf brat/part-00000.tar.gz -C brat",
    )
}


FORMULAS = "a spreadsheet runs a mention that begins with =, +, - or @ as a formula, unless you give --excel-safe"


def export(
    output: Output,
    destination: Annotated[str, typer.Argument(help="Folder for the files, on disk or s3://.", metavar="DEST")],
    to: Annotated[str, typer.Option("--to", help=f"{', '.join(EXPORTERS)}.", metavar="FORMAT")],
    label: Annotated[
        list[str] | None, typer.Option("--label", "-l", help="Only entities of this label; repeatable.")
    ] = None,
    concept: Annotated[
        list[str] | None, typer.Option(help="Only entities of this concept, as CHEBI:29108; repeatable.", metavar="ID")
    ] = None,
    under: Annotated[
        list[str] | None,
        typer.Option(help="Only entities of concepts that are this class or below it; repeatable.", metavar="ID"),
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Only entities of at least this score.", min=0, max=1)] = None,
    doc_id: Annotated[list[str] | None, typer.Option(help="Only this document; repeatable.", metavar="ID")] = None,
    with_entities: Annotated[
        bool, typer.Option("--with-entities", help="Leave out documents that have none of the selected entities.")
    ] = False,
    at: At = None,
    shard_documents: Annotated[int, typer.Option(help="Documents per part, at most.", min=1)] = 10_000,
    shard_mb: Annotated[int, typer.Option(help="Megabytes of text per part, about.", min=1)] = 128,
    gzip: Annotated[bool, typer.Option(help="Compress the files.")] = True,
    excel_safe: ExcelSafe = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds other files too; they stay.")
    ] = False,
    with_ray: Annotated[
        bool | None,
        typer.Option("--ray/--no-ray", help="Write the parts in Ray tasks.", show_default="from 100,000 documents on"),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Write documents with their entities for other tools: BioC, PubTator, brat, CoNLL, JSON lines or CSV.

    Files are DEST/part-00000.xml.gz and so on, sorted by document id. Each appears whole or not at all. The file
    DEST/_export.json is written last, with the counts of each part and the versions of the tables: its presence means
    that the export is complete. An earlier export in DEST is replaced. Any other folder must be empty, or needs
    --overwrite. Rejected and deleted documents are left out and counted.

    Offsets count Unicode code points of the document's text in all formats. Characters that a format cannot hold are
    replaced one by one, so that offsets stay the same, and the document is counted as `altered`. In XML and CoNLL,
    control characters become U+FFFD. In PubTator's title and abstract, line breaks become spaces. CoNLL writes the
    words of the model, and only the longest of overlapping mentions. A part of brat is a tar archive of .txt and .ann
    files. CSV has one row per entity; a spreadsheet takes a mention that begins with =, +, - or @ for a formula unless
    --excel-safe is given.
    """
    from craft_ray.cli.progress import step_progress
    from craft_ray.core.settings import load_settings

    chosen = load_settings(settings)
    tables = open_tables(output, chosen, at)
    with nullcontext(_no_progress) if quiet else step_progress(console(stderr=True), "part") as progress:
        manifest = tables.export(
            destination,
            to,
            label=label or (),
            concept=concept or (),
            under=under or (),
            min_score=min_score,
            doc_id=doc_id or (),
            with_entities=with_entities,
            settings=chosen,
            shard_documents=shard_documents,
            shard_mb=shard_mb,
            gzip=gzip,
            overwrite=overwrite,
            excel_safe=excel_safe,
            with_ray=with_ray,
            progress=progress,
        )
    if to == "csv" and not (excel_safe or quiet):
        print_status(console(stderr=True), FORMULAS)
    if as_json:
        print(json.dumps(manifest))
    elif not quiet:
        print_export(console(), manifest)


def _no_progress(done: int, total: int) -> None:
    pass


def print_export(on: Console, manifest: Mapping[str, Any]) -> None:
    """Print the account of an export."""
    for what in ("documents", "entities"):
        table = plain_table(what, "")
        for name, number in manifest[what].items():
            if number or name in ("annotated", "found", "exported"):
                add_row(table, name.replace("_", " "), f"{number:,}")
        on.print(table)
    for reason, number in manifest["unrepresentable"]["reasons"].items():
        on.print(f"unrepresentable: {reason}: {number:,} documents")
    parts = len(manifest["shards"])
    on.print(f"{parts:,} part{'s' * (parts != 1)}, {manifest['bytes'] / 1e6:,.1f} MB")
