"""A night of revisions: bytes written for each byte revised, and its cost beside a night of new documents.

`python -m tests.scale.night --help`. In one process and without a model: the tables are made as a first run makes them,
its blocks coming in no order. Then so many documents are replaced: from the newest tenth and from anywhere. What is
written again depends on how many files there are: 100,000 citations in files of 0.5 MB are written again in the same
proportion as 3 million in files of 16 MB. All bytes count that the process writes.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables import rewriting
from craft_ray.tables.writer import Tables
from tests.scale.citations import all_written, first_run
from tests.support.outputs import all_of


def night(tables: Tables, storage: Storage, numbers: np.ndarray, shard: int, revised: bool) -> dict[str, Any]:
    """Replace or append documents and close the run: seconds of the processor and bytes written beside the blocks'."""
    blocks = all_written(tables, storage, numbers, shard, "night")
    own = sum(file.size for block in blocks for file in (*block.documents, *block.entities))
    process = psutil.Process()
    clock = time.monotonic()
    seconds, written = [time.process_time()], [process.io_counters().write_chars]
    steps = (
        lambda: tables.replace(blocks, [all_of(block) for block in blocks]) if revised else tables.append(blocks),
        lambda: tables.finish(compact=True),
    )
    for step in steps:
        step()
        seconds.append(time.process_time())
        written.append(process.io_counters().write_chars)
    return {
        "documents": len(numbers),
        "cpu_seconds": round(seconds[2] - seconds[0], 2),
        "cpu_seconds_of_the_merge": round(seconds[2] - seconds[1], 2),
        "seconds": round(time.monotonic() - clock, 2),
        "mb_of_their_rows": round(own / 1e6, 1),
        "rewritten_per_byte": round((written[1] - written[0]) / own, 1),
        "merged_per_byte": round((written[2] - written[1]) / own, 1),
        "files": {name: len(table.files()) for name, table in tables.by_name.items()},
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=300_000)
    parser.add_argument("--documents", type=int, default=3_000, help="documents of a night")
    parser.add_argument("--file-mb", type=float, default=rewriting.FILE / (1 << 20), help="size of the files")
    given = parser.parse_args()
    rewriting.FILE = int(given.file_mb * (1 << 20))
    folder = tempfile.mkdtemp(prefix="craft-ray-scale-")
    try:
        storage = Storage(S3Settings())
        tables = Tables(storage, str(Path(folder, "out")), "night")
        numbers = np.arange(10_000_000, 10_000_000 + given.known)
        chance = np.random.default_rng(1)
        first_run(tables, storage, numbers)
        began = time.process_time()
        tables.finish(compact=True)
        merge = round(time.process_time() - began, 1)
        newest = chance.choice(numbers[-given.known // 10 :], given.documents, replace=False)
        anywhere = chance.choice(numbers, given.documents, replace=False)
        fresh = numbers[-1] + 1 + np.arange(given.documents)
        report = {
            "known": given.known,
            "file_mb": given.file_mb,
            "mb": round(sum(file.size for table in tables.by_name.values() for file in table.files()) / 1e6, 1),
            "cpu_seconds_of_the_first_merge": merge,
            "files": {name: len(table.files()) for name, table in tables.by_name.items()},
            "new": night(tables, storage, fresh, 20_000, revised=False),
            "revised_newest": night(tables, storage, np.sort(newest), 30_000, revised=True),
            "revised_anywhere": night(tables, storage, np.sort(anywhere), 40_000, revised=True),
        }
    finally:
        shutil.rmtree(folder)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
