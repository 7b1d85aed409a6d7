"""Outputs that hold many documents already, written with Arrow and not by runs; and what a command costs over them."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from craft_ray.core.schema import DOCUMENTS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.blocks import WrittenBlock, write_file
from craft_ray.tables.writer import Tables
from tests.scale.citations import texts
from tests.support.outputs import filled

ROWS = 400_000
"""Rows of a file, which makes it larger than those that a run's end merges."""

SHARD = 30_000
"""Citations of a shard, as in PubMed's baseline."""

TOGETHER = 20
"""Files of one commit."""


def hold(output: Path, documents: int) -> None:
    """An output that holds so many citations, without texts and entities."""
    storage = Storage(S3Settings())
    tables = Tables(storage, str(output))
    nothing = np.empty(0)
    files = []
    for first in range(0, documents, ROWS):
        rows = _rows(first, min(first + ROWS, documents))
        files.append(write_file(rows, storage, tables.path("documents"), "held"))
        if len(files) == TOGETHER or first + ROWS >= documents:
            tables.append([WrittenBlock("", files, [], nothing, nothing.astype(np.int32), [], [], 0, [])])
            files = []


def _rows(first: int, last: int) -> pa.Table:
    """Rows of `documents`; their digests are random, as digests are."""
    numbers = np.arange(first, last)
    chance = np.random.default_rng(first)
    shards = np.array([f"s3://bucket/pubmed/baseline/pubmed26n{n:04}.xml.gz" for n in range(last // SHARD + 1)])
    hashes = pa.py_buffer(chance.bytes(16 * len(numbers)).hex().encode())
    offsets = pa.py_buffer(np.arange(0, 32 * len(numbers) + 1, 32, np.int32))
    columns = {
        "doc_id": pc.binary_join_element_wise("PMID:", pa.array(numbers).cast(pa.string()), ""),
        "version": np.ones(len(numbers), np.int32),
        "key": chance.integers(-(1 << 62), 1 << 62, len(numbers)),
        "content_hash": pa.StringArray.from_buffers(len(numbers), offsets, hashes),
        "shard": pa.DictionaryArray.from_arrays(numbers // SHARD, shards).cast(pa.string()),
        "status": "annotated",
    }
    return filled(columns, DOCUMENTS, len(numbers))


def write_citations(file: Path, numbers: Iterable[int]) -> None:
    """JSON lines of citations of 200 words; each has a text that no other has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        json.dumps({"id": f"PMID:{number}", "text": f"{texts()[number % len(texts())]} {number}."})
        for number in numbers
    )
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
