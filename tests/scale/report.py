"""The cost of a report as tables grow: `python -m tests.scale.report --help`.

Synthetic tables in the real layout, 25 entities a document, files and commits as runs make them. Each report is made by
the command in a process of its own, whose peak memory the operating system tells.
"""

import argparse
import json
import random
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from craft_ray.core.labels import LABELS
from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.storage.storage import Storage
from craft_ray.tables.writer import Tables
from tests.scale.measured import measured
from tests.support.outputs import STORAGE, append, filled

PART = 1_000_000
"""Entities written at once."""

EACH = 25
"""Entities of a document."""

TEXTS = 4_000
"""Different texts of a part; its documents repeat them."""

RARE = 0.1
"""Share of the mentions that occur in one text alone."""

SECTIONS = ("title", "abstract", "abstract/METHODS", "body/Introduction", "body/Results/Mice", "captions")


def texts(seed: int) -> tuple[list[str], dict[str, np.ndarray]]:
    """Texts of EACH mentions, and columns of the entities in them, text by text."""
    random_ = random.Random(seed)
    written, rows = [], []
    for _ in range(TEXTS):
        text = ""
        for number in range(EACH):
            label = random_.choice(LABELS)
            rare = random_.random() < RARE
            stem = f"x{random_.getrandbits(24):x}" if rare else min(int(random_.paretovariate(0.7)), 2000)
            mention = random_.choice(["{}{}", "{}-{}", "{} {}"]).format(label.name.lower(), stem)
            section = SECTIONS[number * len(SECTIONS) // EACH]
            rows.append(
                (section, len(text), len(text) + len(mention), label.name, mention, random_.betavariate(6, 1.5))
            )
            text += f"{mention} was found in the tissue. "
        written.append(text.rstrip())
    section, start, end, label, mention, score = zip(*rows, strict=True)
    return written, {
        "section": np.array(section),
        "start": np.array(start, np.int32),
        "end": np.array(end, np.int32),
        "label": np.array(label),
        "mention": np.array(mention),
        "score": np.array(score, np.float32),
    }


def part(number: int, entities: int) -> tuple[pa.Table, pa.Table]:
    """Rows of `documents` and of `entities`."""
    documents = entities // EACH
    written, columns = texts(number)
    which = np.arange(documents) % TEXTS
    ids = pa.array([f"PMID:{10_000_000 + number * documents + i}" for i in range(documents)])
    ends = [[{"name": "text", "start": 0, "end": len(text)}] for text in written]
    origin = {"run_id": "20260101T000000-synthetic", "block_id": f"{number:032x}"}
    about = {
        "doc_id": ids,
        "version": np.ones(documents, np.int32),
        "shard": pa.repeat(f"/synthetic/{number:06}.xml.gz", documents),
        "status": pa.repeat("annotated", documents),
        "n_entities": np.full(documents, EACH, np.int32),
        "n_tokens": np.full(documents, 8 * EACH, np.int32),
        "year": 1980 + (np.arange(documents) * 7 + number) % 46,
        "text": pa.array(written).take(which),
        "sections": pa.array(ends, DOCUMENTS.field("sections").type).take(which),
    }
    rows = (which[:, None] * EACH + np.arange(EACH)).ravel()
    of = np.repeat(np.arange(documents), EACH)
    found = {name: pa.array(values).take(rows) for name, values in columns.items()} | {"doc_id": ids.take(of)}
    found |= {"sentence_start": found["start"], "sentence_end": pa.array(columns["end"][rows] + 25)}
    return filled(about | origin, DOCUMENTS, documents), filled(found | origin, ENTITIES, len(rows))


def write_parts(storage: Storage, output: str, numbers: range, entities: int) -> None:
    """Append parts to the tables of an output."""
    tables = Tables(storage, output)
    for number in numbers:
        append(tables, storage, *part(number, entities))


def main() -> None:
    """Measure at a hundredth of the size (not below a million rows), at a tenth, and at the size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="entities of the largest tables")
    parser.add_argument("--folder", type=Path, help="where the tables go, in a new folder that is removed at the end")
    parser.add_argument("--options", default="", help="of `craft-ray report`, as one word: --options=--exact")
    given = parser.parse_args()
    sizes = sorted({max(PART, given.rows // factor) for factor in (100, 10, 1)})
    done, report = 0, {}
    folder = Path(tempfile.mkdtemp(prefix="craft-ray-report-", dir=given.folder))
    try:
        for rows in sizes:
            write_parts(STORAGE, str(folder), range(done, rows // PART), PART)
            done = rows // PART
            report[rows] = measured(
                "report", str(folder), "--html", str(folder / "report.html"), *given.options.split()
            )
            print(json.dumps({"rows": rows, **report[rows]}), flush=True)
    finally:
        shutil.rmtree(folder)
    for smaller, larger in pairwise(sizes):
        more = report[larger]["seconds"] - report[smaller]["seconds"]
        slope = more / (larger - smaller) * 1e6
        print(f"from {smaller:,} to {larger:,} rows: {slope:.2f} s more for each million")


if __name__ == "__main__":
    main()
