"""A night of revisions: bytes written for each byte revised, and its cost beside a night of new documents.

`python -m tests.scale.night --help`. In one process and without a model: the tables are made as a run makes them, and
then so many documents are replaced, once at random and once among the newest, as PubMed's nights mostly are.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from craft_ray.core.schema import DOCUMENTS, ENTITIES
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables import identity
from craft_ray.tables.blocks import WrittenBlock, partitions, write_file
from craft_ray.tables.ledger import entries
from craft_ray.tables.writer import Tables
from tests.support.outputs import filled

WORDS = np.array(["Pax6", "mouse", "kinase", "cells", "binds", "yeast", "expression", "was", "membrane", "of", "the"])
LABELS = ("Chemical", "Protein", "Taxon")
BLOCK = 1_000


def written(tables: Tables, storage: Storage, numbers: np.ndarray, shard: int, run_id: str) -> WrittenBlock:
    """A block of citations of some 200 words with ten entities each, as a write task leaves it."""
    chance = np.random.default_rng(shard)
    rows = len(numbers)
    doc_ids = np.char.add("PMID:", numbers.astype(str))
    texts = [" ".join(words) for words in WORDS[chance.integers(0, len(WORDS), (rows, 200))]]
    keys = numbers * 1000 + shard
    document = {
        "doc_id": doc_ids,
        "version": np.ones(rows, np.int32),
        "key": keys,
        "shard": f"pubmed26n{shard:04}.xml.gz",
        "status": "annotated",
        "text": texts,
        "run_id": run_id,
    }
    start = chance.integers(0, 900, rows * 10).astype(np.int32)
    entity = {
        "doc_id": np.repeat(doc_ids, 10),
        "start": start,
        "end": start + 5,
        "label": np.array(LABELS)[chance.integers(0, len(LABELS), rows * 10)],
        "mention": WORDS[chance.integers(0, len(WORDS), rows * 10)],
        "score": chance.random(rows * 10).astype(np.float32),
        "run_id": run_id,
    }
    entities = filled(entity, ENTITIES, rows * 10)
    return WrittenBlock(
        str(shard),
        [write_file(filled(document, DOCUMENTS, rows), storage, tables.path("documents"), run_id)],
        [
            write_file(part, storage, tables.path("entities"), run_id, where)
            for where, part in partitions(entities, ["label"])
        ],
        entries(
            identity.id_hashes(doc_ids.tolist()),
            keys,
            identity.revisions(np.ones(rows, np.int32), np.full(rows, shard), np.zeros(rows, np.bool_)),
            np.zeros(rows, np.bool_),
        ),
        np.full(rows, shard, np.int32),
        ["annotated"] * rows,
        [None] * rows,
        0,
        [],
    )


def night(tables: Tables, storage: Storage, numbers: np.ndarray, shard: int, revised: bool) -> dict[str, Any]:
    """Replace or append documents and close the run: seconds of the processor and bytes written beside the blocks'."""
    blocks = [
        written(tables, storage, numbers[at : at + BLOCK], shard + at // BLOCK, "night")
        for at in range(0, len(numbers), BLOCK)
    ]
    own = {file.path: file.size for block in blocks for file in (*block.documents, *block.entities)}
    before = {file.path for table in tables.by_name.values() for file in table.files()}
    began = time.process_time()
    if revised:
        tables.replace(blocks, [np.ones(len(block.entries), np.bool_) for block in blocks])
    else:
        tables.append(blocks)
    rewritten = {file.path: file.size for table in tables.by_name.values() for file in table.files()}
    tables.finish(compact=True)
    more = sum(size for path, size in rewritten.items() if path not in before and path not in own)
    after = {file.path: file.size for table in tables.by_name.values() for file in table.files()}
    more += sum(size for path, size in after.items() if path not in rewritten)
    return {
        "documents": len(numbers),
        "seconds": round(time.process_time() - began, 2),
        "mb_of_their_rows": round(sum(own.values()) / 1e6, 1),
        "written_again_per_byte": round(more / sum(own.values()), 1),
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=100_000)
    parser.add_argument("--documents", type=int, default=1_000, help="documents of a night")
    given = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="craft-ray-scale-")
    try:
        storage = Storage(S3Settings())
        tables = Tables(storage, str(Path(folder, "out")), "night")
        numbers = np.arange(10_000_000, 10_000_000 + given.known)
        for at in range(0, given.known, 20 * BLOCK):
            parts = range(at, min(at + 20 * BLOCK, given.known), BLOCK)
            tables.append(
                [written(tables, storage, numbers[part : part + BLOCK], part // BLOCK, "first") for part in parts]
            )
            tables.finish(compact=True)
        chance = np.random.default_rng(1)
        newest = chance.choice(numbers[-given.known // 10 :], given.documents, replace=False)
        anywhere = chance.choice(numbers, given.documents, replace=False)
        fresh = numbers[-1] + 1 + np.arange(given.documents)
        report = {
            "known": given.known,
            "mb": round(sum(file.size for table in tables.by_name.values() for file in table.files()) / 1e6, 1),
            "files": {name: len(table.files()) for name, table in tables.by_name.items()},
            "new": night(tables, storage, fresh, 2000, revised=False),
            "revised_newest": night(tables, storage, np.sort(newest), 3000, revised=True),
            "revised_anywhere": night(tables, storage, np.sort(anywhere), 4000, revised=True),
        }
    finally:
        shutil.rmtree(folder)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
