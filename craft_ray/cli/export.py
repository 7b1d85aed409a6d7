"""`craft-ray export`."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from craft_ray.cli.console import plain_table
from craft_ray.cli.options import At, Json, Output

EXAMPLES = """Examples:

    craft-ray export tables corpus --to bioc-xml

    craft-ray export s3://bucket/tables s3://bucket/proteins --to csv --label Protein --label Gene --min-score 0.9

    craft-ray export tables brat --to brat --doc-id PMID:26228458 && tar xzf brat/part-00000.tar.gz -C brat
"""


def export(
    output: Output,
    destination: Annotated[str, typer.Argument(help="Folder for the files, on disk or s3://.", metavar="DEST")],
    to: Annotated[
        str, typer.Option("--to", help="bioc-xml, bioc-json, pubtator, brat, conll, jsonl or csv.", metavar="FORMAT")
    ],
    label: Annotated[list[str] | None, typer.Option(help="Only entities of this label; repeatable.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Only entities of this score or a higher.")] = None,
    doc_id: Annotated[list[str] | None, typer.Option(help="Only this document; repeatable.", metavar="ID")] = None,
    with_entities: Annotated[
        bool, typer.Option("--with-entities", help="Leave out documents that have none of the entities asked for.")
    ] = False,
    at: At = None,
    shard_documents: Annotated[int, typer.Option(help="Documents of a shard, at most.", min=1)] = 10_000,
    shard_mb: Annotated[int, typer.Option(help="Text of a shard, at most and about.", min=1)] = 128,
    gzip: Annotated[bool, typer.Option(help="Compress the files.")] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that holds other files too; they stay.")
    ] = False,
    with_ray: Annotated[
        bool | None,
        typer.Option("--ray/--no-ray", help="Write shards in Ray tasks.", show_default="from 100,000 documents on"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write documents with their entities for other tools: BioC, PubTator, brat, CoNLL, JSON lines or CSV.

    Files are DEST/part-00000.xml.gz and so on, in order of document ids, each there whole or not at all. Written last
    is DEST/_export.json, with what is in each and the versions of the tables: it says that the export is whole. A
    folder that an earlier export has left is written anew; any other must be empty, or needs --overwrite. Rejected and
    deleted documents are left out and counted.

    Offsets count Unicode code points of the document's text in all formats. What a format cannot hold is replaced by
    as many characters, so that offsets stay, and counted as `altered`: control characters in XML and CoNLL by U+FFFD,
    line breaks in PubTator's title and abstract by blanks. CoNLL writes words as the model reads them, and of mentions
    that overlap only the longest. A shard of brat is a tar archive with a folder of .txt and .ann files. CSV is an
    entity a row, as it is: a spreadsheet takes a mention that begins with =, +, - or @ for a formula.
    """
    from craft_ray.cli.console import steps_shown
    from craft_ray.core.labels import canonical
    from craft_ray.core.settings import load_settings
    from craft_ray.export.export import export as run
    from craft_ray.export.plan import PartSizes, Selection

    selection = Selection(
        labels=tuple(sorted({canonical(name.strip()) for name in label or ()})),
        min_score=min_score,
        doc_ids=tuple(sorted(set(doc_id or ()))),
        with_entities=with_entities,
    )
    with steps_shown(Console(stderr=True), "shard") as show:
        manifest = run(
            output,
            destination,
            to,
            load_settings(),
            at=at,
            selection=selection,
            sizes=PartSizes(shard_documents, shard_mb << 20),
            gzip=gzip,
            overwrite=overwrite,
            with_ray=with_ray,
            show=show,
        )
    if as_json:
        print(json.dumps(manifest))
    else:
        print_export(Console(), manifest)


def print_export(console: Console, manifest: Mapping[str, Any]) -> None:
    """The account of an export."""
    for what in ("documents", "entities"):
        table = plain_table(what, "")
        for name, number in manifest[what].items():
            if number or name in ("annotated", "found", "exported"):
                table.add_row(name.replace("_", " "), f"{number:,}")
        console.print(table, highlight=False)
    for reason, number in manifest["unrepresentable"]["reasons"].items():
        console.print(f"unrepresentable: {reason}: {number:,} documents", highlight=False)
    console.print(f"{len(manifest['shards']):,} shards, {manifest['bytes'] / 1e6:,.1f} MB", highlight=False)
