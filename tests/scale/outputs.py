"""Reports, exports and questions over tables of mentions; the command in a process of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from craft_ray.export.formats import EXPORTERS
from craft_ray.tables.writer import Tables
from tests.scale.generated import EACH, FIRST, PART, append_mentions, mention_tables
from tests.scale.harness import command, scenario
from tests.scale.made import with_columns
from tests.support.outputs import STORAGE, append, open_tables

YEARS = range(1980, 2026)

JOIN = "JOIN (SELECT doc_id, year FROM documents) USING (doc_id)"

QUESTIONS = {
    "one label in one year": """
        SELECT mention, count(*) FROM entities {join} WHERE label = 'Protein' AND year = 2005 GROUP BY mention
    """,
    "one document": "SELECT * FROM entities WHERE doc_id = 'PMID:10012345'",
}


@scenario
def report(folder: Path, millions: int = 10, options: str = "") -> Iterator[dict[str, Any]]:
    """A report over so many million entities, a tenth and a hundredth of them.

    options: of `craft-ray report`, as one word: --options=--exact
    """
    done = 0
    for size in sorted({max(1, millions // factor) for factor in (100, 10, 1)}):
        append_mentions(folder, range(done, size))
        done = size
        _, used = command("report", folder, "--html", folder / "report.html", *options.split())
        yield {"entities": size * PART} | used


@scenario
def export(folder: Path, millions: int = 8, format: str = "", compact: bool = False) -> Iterator[dict[str, Any]]:
    """An export of so many million entities to one format or all, in one process and on Ray."""
    tables = folder / "tables"
    append_mentions(tables, range(millions))
    if compact:
        command("compact", tables)
    for name in [format] if format else EXPORTERS:
        for way in ("--no-ray", "--ray"):
            summary, used = command("export", tables, folder / f"{name}{way}", "--to", name, way)
            exported = summary["documents"]["exported"]
            assert exported == summary["documents"]["annotated"]
            rate = round(exported / used["seconds"])
            yield {"format": name, "way": way, "documents_per_second": rate, "bytes": summary["bytes"]} | used


@scenario
def compaction(folder: Path, millions: int = 10) -> Iterator[dict[str, Any]]:
    """MB that questions read: as runs leave the tables, sorted by document, and partitioned by label and year.

    Documents arrive in no order, and years grow with their numbers as PubMed's do. Linux only.
    """
    _append_in_no_order(str(folder), millions)
    yield {"layout": "as runs leave it", "read_mb": _bytes_read(folder)}
    for options in (["--sort", "doc_id"], ["--partition-by", "label,year"]):
        _, used = command("compact", folder, *options)
        yield {"layout": " ".join(options), "read_mb": _bytes_read(folder)} | used


def _append_in_no_order(output: str, parts: int) -> None:
    """Append tables whose every file has documents from all over."""
    tables, chance = Tables(STORAGE, output), np.random.default_rng(0)
    each = PART // EACH
    number = chance.permutation(parts * each)
    years = YEARS[0] + number * len(YEARS) // len(number)
    ids = np.array([f"PMID:{FIRST + i}" for i in number], object)
    for i in range(parts):
        documents, entities = mention_tables(i)
        own = slice(i * each, (i + 1) * each)
        documents = with_columns(documents, doc_id=ids[own], year=years[own])
        scores = chance.beta(6, 1.5, entities.num_rows)
        append(tables, STORAGE, documents, with_columns(entities, doc_id=np.repeat(ids[own], EACH), score=scores))


def _bytes_read(output: Path) -> dict[str, float]:
    """MB that the operating system hands to this process for each question."""
    found = {}
    for name, sql in QUESTIONS.items():
        tables = open_tables(output)
        join = "" if "year" in tables.entities.dataset.schema.names else JOIN
        with tables.connect("entities", "documents") as connection:
            before = _read_so_far()
            assert connection.sql(sql.format(join=join)).to_arrow_table().num_rows
            found[name] = round((_read_so_far() - before) / 1e6, 1)
    return found


def _read_so_far() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])
