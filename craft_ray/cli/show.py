"""`craft-ray show`."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from craft_ray.cli.console import console
from craft_ray.cli.options import GroundedOnly, MinScore, ModelOption, SettingsFile, open_tables
from craft_ray.cli.rows import print_rows, print_table
from craft_ray.core.descriptions import LabelDescription, descriptions_in
from craft_ray.core.errors import SettingsError
from craft_ray.core.highlight import STYLES, Segment, segments
from craft_ray.core.text import one_line, safe

if TYPE_CHECKING:
    from craft_ray.core.schema import Item
    from craft_ray.core.settings import Settings
    from craft_ray.outputs import Output
    from craft_ray.storage.storage import Storage

ALL = "--json prints all"

EXAMPLES = {
    "show": (
        'craft-ray show "Pax6 is expressed in the mouse eye."',
        "craft-ray show article.nxml --scores",
        "craft-ray show PMID:26228458 --in tables",
        "craft-ray show tables",
        'craft-ray show "Pax6 is expressed in the mouse eye." --json',
        "pdftotext article.pdf - | craft-ray show -",
    )
}


def show(
    what: Annotated[
        str,
        typer.Argument(
            help="A text, a file, a folder of files or of tables, - for standard input, or a document id (with --in)."
        ),
    ],
    in_: Annotated[
        str | None, typer.Option("--in", help="Tables to look the document id up in.", metavar="OUT")
    ] = None,
    model: ModelOption = None,
    min_score: MinScore = None,
    grounded_only: GroundedOnly = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", help="Documents of files, or entities of tables, to show.", min=1)
    ] = 20,
    scores: Annotated[
        bool, typer.Option("--scores", help="List each entity with its score and concept below the text.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object per document.")] = False,
    settings: SettingsFile = None,
) -> None:
    """Show documents with their entities marked: a text or file annotated now, or a document of the tables.

    For a folder of tables, list the entities of the first documents in order of their ids.
    """
    from craft_ray.core.settings import load_settings
    from craft_ray.storage.addresses import absolute, is_remote
    from craft_ray.storage.storage import Storage

    chosen, on = load_settings(settings, model=model, min_score=min_score, grounded_only=grounded_only), console()
    storage = Storage.of(chosen)
    if in_ is not None:
        _show_stored(on, open_tables(in_, chosen), what, scores, as_json)
    elif re.fullmatch(r"(PMID|PMCID|DOI):\S+", what):
        raise SettingsError(f"{what} is a document id: name the tables to look in with --in OUT")
    elif (is_remote(what) or Path(what).is_dir()) and _are_tables(storage, absolute(what)):
        _list_entities(on, open_tables(what, chosen), limit, as_json)
    else:
        _show_tagged(on, storage, what, chosen, limit, scores, as_json)


def _are_tables(storage: "Storage", location: str) -> bool:
    from craft_ray.tables.output import tables_exist  # imports pandas, which takes half as long as Ray

    return tables_exist(storage, location)


def print_document(
    on: Console,
    document: Mapping[str, Any],
    entities: Sequence[Mapping[str, Any]],
    scores: bool = False,
    descriptions: Mapping[str, LabelDescription] = MappingProxyType({}),
    left_out: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Print a document with its entities marked in the text.

    In colour nothing is added to the text, so that it can be copied. Without colour an entity is `[Pax6|Protein]`.

    document:     a row of `documents`, or the fields of an item
    scores:       list the entities below the text
    descriptions: labels as the model describes them
    left_out:     number of mentions left out, by label
    """
    about = [document.get(name) for name in ("doc_id", "year", "journal")]
    if any(about):
        on.print(Text(one_line("  ".join(str(part) for part in about if part))), style="bold")
    if document.get("reason") or document.get("status", "annotated") != "annotated":
        parts = (document.get(name) for name in ("status", "reason", "detail"))
        on.print(Text(one_line(": ".join(str(part) for part in parts if part))))
        return
    if document.get("text") is None:
        on.print("deleted, or kept without its text", style="dim")
        return
    styles = _styles(entities, descriptions)
    for section in document["sections"]:
        inside = [e for e in entities if section["start"] <= e["start"] < section["end"]]
        if section["name"] not in ("title", "text"):
            on.print(Text(one_line(section["name"])), style="dim")
        marked = _marked(document["text"], section, inside, styles if on.color_system else {})
        on.print(marked, soft_wrap=not on.is_terminal)
    legend = Text()
    for label, count in Counter(entity["label"] for entity in entities).most_common():
        legend.append(f" {one_line(label)} ", styles[label]).append(f" {count:,}  ")
    on.print(legend)
    if left_out:
        counts = ", ".join(f"{one_line(label)} {count:,}" for label, count in sorted(left_out.items()))
        on.print(Text(f"left out as less sure (--min-score 0 shows them): {counts}"), style="dim")
    if scores and entities:
        import pyarrow as pa

        names = ("concept_id", "concept_name", "gene_id")
        columns = ["label", "mention", "start", "end", "score", *(n for n in names if any(e.get(n) for e in entities))]
        rows = pa.table({name: [entity[name] for entity in entities] for name in columns})
        print_table(on, rows.to_reader(), ALL)


def _styles(entities: Sequence[Mapping[str, Any]], descriptions: Mapping[str, LabelDescription]) -> dict[str, str]:
    """A style for each label: the model's own, else the built-in one, else a free colour in order of names."""
    others = sorted({str(entity["label"]) for entity in entities} - STYLES.keys())
    free = ["black on bright_white", "white on magenta", "white on red", "black on cyan", "white on blue", "reverse"]
    own = {label: one.style for label, one in descriptions.items() if one.style}
    return STYLES | {label: free[min(i, len(free) - 1)] for i, label in enumerate(others)} | own


def _marked(
    text: str, section: Mapping[str, Any], entities: Sequence[Mapping[str, Any]], styles: Mapping[str, str]
) -> Text:
    """The text of a section with its entities marked, in colour if there are styles."""
    return _joined(segments(text, section["start"], section["end"], entities), styles)


def _joined(pieces: Iterable[Segment], styles: Mapping[str, str]) -> Text:
    marked = Text()
    for segment in pieces:
        piece = _joined(segment.inner, styles) if segment.inner else Text(safe(segment.text))
        if segment.entity is not None and styles:
            piece.stylize_before(styles[segment.entity["label"]])
        elif segment.entity is not None:
            piece = Text.assemble("[", piece, f"|{one_line(segment.entity['label'])}]")
        marked.append_text(piece)
    return marked


def _print_json(document: Mapping[str, Any], entities: Sequence[Mapping[str, Any]], **more: Any) -> None:
    line = json.dumps({**document, "entities": entities, **more}, ensure_ascii=False, default=str)
    print(safe(line) if sys.stdout.isatty() else line)


def _list_entities(on: Console, tables: "Output", limit: int, as_json: bool) -> None:
    from craft_ray.report.queries import first_entities

    with tables.connect("entities", "documents") as connection:
        rows = first_entities(connection, limit)
    if as_json:
        print_rows(rows.to_reader(), "json lines")
    else:
        print_table(on, rows.to_reader(), ALL)


def _show_stored(on: Console, tables: "Output", doc_id: str, scores: bool, as_json: bool) -> None:
    import pyarrow.dataset as ds

    tables.check_documents([doc_id])
    wanted = ds.field("doc_id") == doc_id
    (document,) = tables.documents.to_arrow(where=wanted).to_pylist()
    entities = tables.entities.to_arrow(where=wanted).sort_by("start").to_pylist()
    if as_json:
        _print_json(document, entities)
        return
    descriptions = descriptions_in(tables.last_model(), {entity["label"] for entity in entities})
    print_document(on, document, entities, scores, descriptions)


def _show_tagged(
    on: Console, storage: "Storage", what: str, settings: "Settings", limit: int, scores: bool, as_json: bool
) -> None:
    """Annotate a text or the documents of files in this process, and show them."""
    from dataclasses import asdict

    from craft_ray.annotation.tagger import Entities, Tagger
    from craft_ray.core.schema import Document, document_of

    files = None if what == "-" else _files(storage, what)
    items = [document_of("", sys.stdin.read() if what == "-" else what)] if files is None else _read(storage, files)
    tagger = Tagger.load(settings=settings, threads=None if files or what == "-" else 1)
    for item in islice(items, limit):
        entities = tagger.tag_document(item) if isinstance(item, Document) else Entities("")
        rows = [asdict(entity) for entity in entities]
        if as_json:
            _print_json(asdict(item), rows, left_out=entities.left_out)
            continue
        print_document(on, asdict(item), rows, scores, tagger.descriptions, entities.left_out)


def _files(storage: "Storage", what: str) -> list[str] | None:
    """The files of a file or folder, None for a text.

    Raises SettingsError if there is no such file, or there are no documents in the folder.
    """
    from craft_ray.storage.addresses import is_remote

    path = Path(what)
    if is_remote(what) or (len(what) < 4096 and "\n" not in what and path.exists()):
        from craft_ray.readers import is_shard_name
        from craft_ray.storage.listing import list_shards

        try:
            files: list[str] = list_shards(storage, [what], is_shard_name).files["name"].to_pylist()
        except SettingsError as error:
            raise SettingsError(f"there are no tables in {what}, and no documents: {error}") from error
        return files
    if path.suffix and " " not in what:
        raise SettingsError(f"there is no file {what}")
    return None


def _read(storage: "Storage", files: Sequence[str]) -> Iterator["Item"]:
    from craft_ray.readers import read_shard

    for file in files:
        with storage.open(file) as stream:
            yield from read_shard(stream, Path(file).name)
