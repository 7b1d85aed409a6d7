"""Commands that look at documents and mentions: `show`, `query`, `top`, `pairs`."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from craft_ray.commands.options import At, Json, Output
from craft_ray.errors import SettingsError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from craft_ray.storage import Storage

Limit = Annotated[int, typer.Option(help="Rows to show.", min=1)]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]

SHOW_EXAMPLES = """Examples:

    craft-ray show "Pax6 is expressed in the mouse eye."

    craft-ray show article.nxml

    craft-ray show PMID:26228458 --in tables

    craft-ray show tables
"""

QUERY_EXAMPLES = """Examples:

    craft-ray query tables "SELECT label, count(*) FROM entities GROUP BY 1"

    craft-ray query tables "SELECT year, count(*) FROM entities JOIN documents USING (doc_id) GROUP BY 1" --csv
"""


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
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage, absolute, is_remote
    from craft_ray.tables import read_entities, tables_exist
    from craft_ray.terminal import print_entities

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

    from craft_ray.snapshots import open_snapshot
    from craft_ray.terminal import print_document

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

    from craft_ray.checkpoint import load_checkpoint
    from craft_ray.readers import read_shard
    from craft_ray.schema import Document, Section
    from craft_ray.tagger import Tagger
    from craft_ray.terminal import print_document

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
        for item in islice(read_shard(stream, path.name, None), limit):
            entities = tagger.tag_document(item) if isinstance(item, Document) else []
            print_document(console, asdict(item), [asdict(entity) for entity in entities])


def query(
    output: Output,
    sql: Annotated[str, typer.Argument(help="DuckDB's SQL over the views `entities` and `documents`.", metavar="SQL")],
    at: At = None,
    as_csv: Csv = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a row.")] = False,
) -> None:
    """Ask an output anything, in SQL."""
    import duckdb

    with _opened(output, at) as connection:
        try:
            found = connection.sql(sql)
            rows = found.to_arrow_table() if found is not None else None  # None for a statement that gives no rows
        except duckdb.Error as error:
            raise SettingsError(f"the query fails: {str(error).splitlines()[0]}") from error
    if rows is not None:
        _print_rows(rows, "csv" if as_csv else "json lines" if as_json else "table")


def top(
    output: Output,
    label: Annotated[list[str] | None, typer.Option(help="Only of this label; repeatable.", show_default="all")] = None,
    by: Annotated[str, typer.Option(help="Count mentions or documents.", metavar="WHAT")] = "mentions",
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List the most frequent mentions."""
    from craft_ray.queries import top_mentions

    labels = [_label(name) for name in label or ()]
    with _opened(output, at) as connection:
        rows = top_mentions(connection, labels, _choice("--by", by, "mentions", "documents"), limit)
    _print_rows(rows, "csv" if as_csv else "json" if as_json else "table")


def pairs(
    output: Output,
    labels: Annotated[str, typer.Option(help="Two labels, as Chemical,Protein.", metavar="LABEL,LABEL")],
    by: Annotated[str, typer.Option(help="Sort by lift, or by sentences.", metavar="WHAT")] = "lift",
    at_least: Annotated[int, typer.Option(help="Sentences in which a pair must stand.", min=1)] = 3,
    limit: Limit = 20,
    at: At = None,
    as_csv: Csv = False,
    as_json: Json = False,
) -> None:
    """List what is mentioned together in a sentence.

    lift tells how much more often two mentions stand in one sentence than chance would have it, among the sentences
    that mention anything.
    """
    from craft_ray.queries import pairs as run

    first, comma, second = labels.partition(",")
    if not comma or "," in second:
        raise SettingsError(f"--labels {labels}: give two labels, as Chemical,Protein")
    with _opened(output, at) as connection:
        rows = run(connection, _label(first), _label(second), _choice("--by", by, "lift", "sentences"), at_least, limit)
    _print_rows(rows, "csv" if as_csv else "json" if as_json else "table")


@contextmanager
def _opened(output: str, at: str | None) -> Iterator["duckdb.DuckDBPyConnection"]:
    """A database with the views of an output."""
    from craft_ray.database import database, views
    from craft_ray.settings import load_settings
    from craft_ray.snapshots import open_snapshot
    from craft_ray.storage import Storage, absolute

    snapshot = open_snapshot(Storage(load_settings().s3), absolute(output), at)
    with database(**views(snapshot)) as connection:
        yield connection


def _label(name: str) -> str:
    from craft_ray.labels import canonical

    return canonical(name.strip())


def _choice(option: str, given: str, *known: str) -> str:
    if given not in known:
        raise SettingsError(f"{option} {given}: choose {' or '.join(known)}")
    return given


def _print_rows(rows: "pa.Table", form: Literal["csv", "json", "json lines", "table"]) -> None:
    from craft_ray.terminal import print_rows

    if form == "csv":
        import sys

        import pyarrow.csv

        pyarrow.csv.write_csv(rows, sys.stdout.buffer)
    elif form == "json":
        print(json.dumps(rows.to_pylist(), default=str))
    elif form == "json lines":
        for row in rows.to_pylist():
            print(json.dumps(row, default=str, ensure_ascii=False))
    else:
        print_rows(Console(), rows)
