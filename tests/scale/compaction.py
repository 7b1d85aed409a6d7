"""Bytes that questions read before and after `craft-ray compact`: `python -m tests.scale.compaction --help`.

The synthetic tables of `tests.scale.report`, but documents arrive in no order, years grow with their numbers as
PubMed's do, and scores are all different. What is read is what the operating system hands to this process (`rchar`, on
Linux).
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from craft_ray.tables.output import open_output
from craft_ray.tables.writer import Tables
from tests.scale.measured import measured
from tests.scale.report import EACH, PART, part
from tests.support.outputs import STORAGE, append

YEARS = range(1980, 2026)
YEAR = 2005

QUESTIONS = {
    "one label in one year": f"""
        SELECT mention, count(*) FROM entities {{join}} WHERE label = 'Protein' AND year = {YEAR} GROUP BY mention
    """,
    "one document": "SELECT * FROM entities WHERE doc_id = 'PMID:10123456'",
}
JOIN = "JOIN (SELECT doc_id, year FROM documents) USING (doc_id)"


def write_in_no_order(output: str, parts: int) -> None:
    """Tables whose every file has documents from all over."""
    tables, random = Tables(STORAGE, output), np.random.default_rng(0)
    each = PART // EACH
    number = random.permutation(parts * each)
    year = YEARS[0] + number * len(YEARS) // len(number)
    ids = np.array([f"PMID:{10_000_000 + i}" for i in number], object)
    for i in range(parts):
        documents, entities = part(i, PART)
        mine = slice(i * each, (i + 1) * each)
        documents = _with(documents, doc_id=ids[mine], year=year[mine])
        scores = random.beta(6, 1.5, entities.num_rows)
        append(tables, STORAGE, documents, _with(entities, doc_id=np.repeat(ids[mine], EACH), score=scores))


def _with(rows: pa.Table, **columns: np.ndarray) -> pa.Table:
    for name, values in columns.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array(values).cast(rows.schema.field(at).type))
    return rows


def read(output: str) -> dict[str, float]:
    """MB that each question reads."""
    found = {}
    for name, sql in QUESTIONS.items():
        tables = open_output(STORAGE, output)
        join = "" if "year" in tables.entities.dataset.schema.names else JOIN
        with tables.connect("entities", "documents") as connection:
            before = _rchar()
            rows = connection.sql(sql.format(join=join)).to_arrow_table().num_rows
            found[name] = round((_rchar() - before) / 1e6, 1)
        assert rows
    return found


def _rchar() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def main() -> None:
    """As runs leave the tables, sorted by document, and partitioned by label and year."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="entities; a multiple of a million is made")
    parser.add_argument("--folder", type=Path, help="where the tables go, in a new folder that is removed at the end")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="craft-ray-compact-", dir=given.folder))
    try:
        write_in_no_order(str(folder), given.rows // PART)
        print(json.dumps({"layout": "as runs leave it", "read_mb": read(str(folder))}), flush=True)
        for options in (["--sort", "doc_id"], ["--partition-by", "label,year"]):
            found = measured("compact", str(folder), *options)
            told = {name: found[name] for name in ("seconds", "peak_mb")}
            print(json.dumps({"layout": " ".join(options), "read_mb": read(str(folder)), **told}), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
