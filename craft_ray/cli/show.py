"""`craft-ray show`."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from craft_ray.core.errors import SettingsError
from craft_ray.report.marking import STYLES, safe

if TYPE_CHECKING:
    from craft_ray.storage.storage import Storage

SHOW_EXAMPLES = """Examples:

    craft-ray show "Pax6 is expressed in the mouse eye."

    craft-ray show article.nxml

    craft-ray show PMID:26228458 --in tables

    craft-ray show tables
"""


def print_document(console: Console, document: Mapping[str, Any], entities: Sequence[Mapping[str, Any]]) -> None:
    """A document (columns of `documents`, or fields of an item) with its entities marked where they stand.

    In colour the label stands behind the first letter of it; without colour, as `[Pax6|Protein]`.
    """
    about = [document.get(name) for name in ("doc_id", "year", "journal")]
    if any(about):
        console.print(Text(safe("  ".join(str(part) for part in about if part))), style="bold")
    if document.get("reason") or document.get("status", "annotated") != "annotated":
        parts = (document.get(name) for name in ("status", "reason", "detail"))
        console.print(Text(safe(": ".join(str(part) for part in parts if part))))
        return
    if document.get("text") is None:
        console.print("withdrawn, or kept without its text", style="dim")
        return
    for section in document["sections"]:
        inside = [e for e in entities if section["start"] <= e["start"] < section["end"]]
        if section["name"] not in ("title", "text"):
            console.print(Text(safe(section["name"])), style="dim")
        console.print(_marked(document["text"], section, inside, console.color_system is not None), soft_wrap=True)
    counts = Counter(entity["label"] for entity in entities)
    legend = Text()
    for label, count in counts.most_common():
        legend.append(f" {label[:1]} {safe(label)} ", STYLES.get(label, "reverse")).append(f" {count:,}  ")
    console.print(legend)


def _marked(text: str, section: Mapping[str, Any], entities: Sequence[Mapping[str, Any]], coloured: bool) -> Text:
    """A section's text with its entities marked."""
    marked, at = Text(), section["start"]
    for entity in sorted(entities, key=lambda entity: int(entity["start"])):
        marked.append(safe(text[at : entity["start"]]))
        mention, at = safe(text[entity["start"] : entity["end"]]), entity["end"]
        if coloured:
            style = STYLES.get(entity["label"], "reverse")
            marked.append(mention, style).append(entity["label"][:1], f"{style} italic dim")
        else:
            marked.append(f"[{mention}|{safe(entity['label'])}]")
    return marked.append(safe(text[at : section["end"]]))


def print_entities(console: Console, rows: list[dict[str, Any]]) -> None:
    """Entities as a table, the most telling columns."""
    table = Table(box=None, pad_edge=False)
    for name in ("doc_id", "section", "label", "mention", "start", "end", "score"):
        table.add_column(name, justify="right" if name in ("start", "end", "score") else "left")
    for row in rows:
        table.add_row(
            *(Text(safe(row[name])) for name in ("doc_id", "section", "label", "mention")),
            str(row["start"]),
            str(row["end"]),
            f"{row['score']:.3f}",
        )
    console.print(table, highlight=False)


def show(
    what: Annotated[str, typer.Argument(help="A text, a file, a document id (with --in), or a folder of tables.")],
    in_: Annotated[
        str | None, typer.Option("--in", help="Tables to look the document id up in.", metavar="OUT")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model for texts and files.", show_default="embedded")] = None,
    limit: Annotated[int, typer.Option(help="Documents of a file, or entities of tables, to show.", min=1)] = 20,
) -> None:
    """Show documents with their entities marked: a text or file annotated now, or what tables hold.

    Of a folder of tables it lists the first entities.
    """
    from craft_ray.core.settings import load_settings
    from craft_ray.storage.addresses import absolute, is_remote
    from craft_ray.storage.storage import Storage
    from craft_ray.tables.snapshots import read_entities, tables_exist

    settings, console = load_settings(model=model), Console()
    storage = Storage(settings.s3)
    if in_ is not None:
        _show_held(console, storage, absolute(in_), what)
    elif re.fullmatch(r"(PMID|PMCID|DOI):\S+", what):
        raise SettingsError(f"{what} is a document id: say which tables to look in, with --in OUT")
    elif is_remote(what) or Path(what).is_dir():
        output = absolute(what)
        if not tables_exist(storage, output):
            raise SettingsError(f"there are no tables in {what}")
        print_entities(console, read_entities(storage, output, limit))
    else:
        _show_tagged(console, storage, what, settings.model, limit)


def _show_held(console: Console, storage: "Storage", output: str, doc_id: str) -> None:
    import pyarrow.dataset as ds

    from craft_ray.tables.snapshots import open_snapshot

    snapshot = open_snapshot(storage, output)
    mine = ds.field("doc_id") == doc_id
    found = snapshot.documents.dataset.to_table(filter=mine).to_pylist()
    if not found:
        raise SettingsError(f"there is no document {doc_id} in {output}")
    entities = snapshot.entities.dataset.to_table(filter=mine).sort_by("start").to_pylist()
    print_document(console, found[0], entities)


def _show_tagged(console: Console, storage: "Storage", what: str, model: str, limit: int) -> None:
    """Annotate a file's documents, or a text, in this process."""
    from dataclasses import asdict

    from craft_ray.core.schema import Document, Section
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.model.tagger import Tagger
    from craft_ray.readers import read_shard

    path = Path(what)
    is_file = len(what) < 4096 and "\n" not in what and path.is_file()
    if not is_file and (path.suffix and " " not in what):
        raise SettingsError(f"there is no file {what}")
    tagger = Tagger(load_checkpoint(model, storage.fetch))
    if not is_file:
        document = Document("", what, (Section("text", 0, len(what)),) if what else ())
        print_document(console, asdict(document), [asdict(entity) for entity in tagger.tag_document(document)])
        return
    with storage.open(str(path.absolute())) as stream:
        for item in islice(read_shard(stream, path.name), limit):
            entities = tagger.tag_document(item) if isinstance(item, Document) else []
            print_document(console, asdict(item), [asdict(entity) for entity in entities])
