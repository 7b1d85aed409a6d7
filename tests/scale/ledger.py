"""The cost of knowing what the tables hold: `python -m tests.scale.ledger --help`.

In one process, in seconds of its processor: looking documents up among so many known ones, entering those of a block,
and the memory in which a run reads what `documents` holds. Then the driver's peak in the whole command over these
tables, with a stand-in for the model.
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

from craft_ray.annotation.catalogue.existing import read_existing
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.shards import Shards
from craft_ray.storage.storage import Storage
from craft_ray.tables.ledger import Ledger, Part, entries
from craft_ray.tables.writer import Tables
from tests.scale.held import hold, write_citations
from tests.scale.measured import measured

BLOCK = 100
"""Documents of a block."""

NEW = 1_000
"""Documents that the run over the tables annotates."""


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


def read(folder: Path, documents: int) -> dict[str, Any]:
    """Peak bytes and processor seconds of reading what so many rows of `documents` hold, and of a run over them."""
    output, inputs = folder / str(documents), folder / f"{documents}-in"
    hold(output, documents)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # no memory of the writing is there
        peak, seconds = fresh.submit(_read, str(output)).result()
    write_citations(inputs / "new.jsonl", range(documents, documents + NEW))
    run = measured("annotate", str(inputs), "--output", str(output), "--model", "stand-in")
    assert run["said"]["documents"]["annotated"] == NEW
    shutil.rmtree(output)
    return {
        "documents": documents,
        "peak_mb": round(peak / 1e6),
        "cpu_seconds": round(seconds, 1),
        "run": {name: run[name] for name in ("peak_mb", "peak_all_mb", "cpu_seconds", "seconds")},
    }


def _read(output: str) -> tuple[int, float]:
    tables = Tables(Storage(S3Settings()), output)
    began = time.process_time()
    with peak_above_start() as peak:
        read_existing(tables, Shards.from_shards([]), SHARDS.empty_table())
    return peak[0], time.process_time() - began


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, nargs="+", default=[300_000, 3_000_000, 20_000_000])
    parser.add_argument("--documents", type=int, nargs="+", default=[2_000_000, 5_000_000, 10_000_000])
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
