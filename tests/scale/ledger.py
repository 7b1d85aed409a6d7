"""The cost of knowing what the tables hold: `python -m tests.scale.ledger --help`.

In one process, in seconds of its processor: looking documents up among so many known ones, entering those of a block,
and the memory in which a run reads what `documents` holds.
"""

import argparse
import json
import multiprocessing
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from craft_ray.core.schema import DOCUMENTS, SHARDS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.known import read_known
from craft_ray.tables.ledger import Ledger, Part, entries
from craft_ray.tables.writer import Tables
from tests.support.outputs import append, filled

BLOCK = 100
"""Documents of a block."""


def looked_up(known: int, blocks: int = 200) -> dict[str, float]:
    """Milliseconds per document, looked up in batches and entered block by block, with so many documents known."""
    chance = np.random.default_rng(0)
    ids = np.sort(chance.integers(-(1 << 62), 1 << 62, known))
    ledger = Ledger([Part(ids, ids, ids, np.zeros(known, np.int8))])
    wanted = [chance.integers(-(1 << 62), 1 << 62, BLOCK) for _ in range(blocks)]
    arriving = [entries(some, some, some, some == 0) for some in wanted]
    clock = [time.process_time()]
    for block in arriving:
        ledger.outcomes(block)
    clock.append(time.process_time())
    for block in arriving:
        ledger.update(block)
    clock.append(time.process_time())
    looked, entered = np.diff(clock) / (blocks * BLOCK) * 1000
    return {"known": known, "ms_to_look_up": round(float(looked), 5), "ms_to_enter": round(float(entered), 5)}


@contextmanager
def peak_above_start() -> Iterator[list[int]]:
    """Bytes by which this process grew at the most, looked at each 20 ms."""
    process = psutil.Process()
    start, ended = process.memory_info().rss, threading.Event()
    peak = [0]

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss - start)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def read(folder: Path, documents: int, rows: int = 100_000) -> dict[str, Any]:
    """Peak bytes and processor seconds of reading what so many rows of `documents` hold."""
    storage, output = Storage(S3Settings()), str(folder / str(documents))
    tables = Tables(storage, output)
    for start in range(0, documents, rows):
        numbers = np.arange(start, min(start + rows, documents))
        columns = {
            "doc_id": pa.array(np.char.add("PMID:", numbers.astype(str))),
            "version": np.ones(len(numbers), np.int32),
            "key": numbers,
            "shard": pa.array([f"s3://bucket/pubmed/baseline/pubmed26n{n // 30_000:04}.xml.gz" for n in numbers]),
            "status": "annotated",
        }
        empty = pa.table({"label": pa.array([], pa.string())})
        append(tables, storage, filled(columns, DOCUMENTS, len(numbers)), empty)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # no memory of the writing is there
        peak, seconds = fresh.submit(_read, output).result()
    return {"documents": documents, "peak_mb": round(peak / 1e6), "seconds": round(seconds, 1)}


def _read(output: str) -> tuple[int, float]:
    tables = Tables(Storage(S3Settings()), output)
    began = time.process_time()
    with peak_above_start() as peak:
        read_known(tables.documents, {}, SHARDS.empty_table())
    return peak[0], time.process_time() - began


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, nargs="+", default=[300_000, 3_000_000, 20_000_000])
    parser.add_argument("--documents", type=int, nargs="+", default=[1_000_000, 3_000_000])
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="craft-ray-scale-"))
    try:
        report: dict[str, Any] = {"read": [read(folder, documents) for documents in given.documents]}
    finally:
        shutil.rmtree(folder)
    if len(given.documents) > 1:
        first, *_, last = report["read"]
        grown = (last["peak_mb"] - first["peak_mb"]) * 1e6 / (last["documents"] - first["documents"])
        report["bytes_per_document"] = round(grown, 1)
    report["look_up"] = [looked_up(known) for known in given.known]
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
