"""A year of nights: files, log, and whether the last nights cost more, and write more, than the first ones.

`python -m tests.scale.year --help`. Each night opens the tables anew as a run does, reads what they hold, adds new
citations, replaces some of the newest, deletes a few, records its shard and closes. The newest are as many in each
night, a tenth of what there was at first, else later nights would have more to write again. Then the logs become
a day older, for what clears them looks at the age of their files. One process, no model. 300,000 citations in files of
1.6 MB stand for 3 million in files of 16 MB.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from craft_ray.annotation.catalogue.existing import read_existing
from craft_ray.core.schema import SHARDS
from craft_ray.core.settings import S3Settings
from craft_ray.storage.shards import Shards
from craft_ray.storage.storage import Storage
from craft_ray.tables import rewriting
from craft_ray.tables.writer import Tables
from tests.scale.citations import all_written
from tests.support.outputs import all_of

FIRST = 10_000_000
"""The number of the first citation."""


def night(
    storage: Storage, output: str, number: int, last: int, size: tuple[int, int, int], newest: int
) -> tuple[float, float]:
    """One night; the last citation so far is given. Returns its seconds of the processor and MB, blocks left out.

    size:   citations that are new, revised and deleted
    newest: citations, counted from the last, of which some are revised and deleted
    """
    new, revised, deleted = size
    chance = np.random.default_rng(number)
    run_id = f"2026{number:04}T000000-00000000"
    fresh = last + np.arange(1, new + 1)
    changed = np.sort(chance.choice(np.arange(last + 1 - newest, last + 1), revised + deleted, replace=False))
    gone = np.sort(chance.choice(changed, deleted, replace=False))
    began = time.process_time()
    tables = Tables(storage, output, run_id)
    known = read_existing(tables, Shards.from_shards([]), tables.finished_shards())
    opened = time.process_time() - began
    appended = all_written(tables, storage, fresh, number * 100, run_id)
    replacing = [
        *all_written(tables, storage, np.setdiff1d(changed, gone), number * 100 + 50, run_id),
        *all_written(tables, storage, gone, number * 100 + 90, run_id, "deleted"),
    ]
    began, before = time.process_time(), psutil.Process().io_counters().write_chars
    tables.append(appended)
    tables.replace(replacing, [all_of(block) for block in replacing])
    shard: dict[str, Any] = {"shard": f"pubmed26n{number:05}.xml.gz", "found": new + revised, "run_id": run_id}
    tables.record_finished(pa.Table.from_pylist([shard], schema=SHARDS))
    tables.finish(compact=True)
    assert len(known.ledger.parts[0]) == last - FIRST + 1
    return opened + time.process_time() - began, (psutil.Process().io_counters().write_chars - before) / 1e6


def a_day_passes(output: str) -> None:
    """Make the files of all logs a day older."""
    for path in Path(output).glob("*/_delta_log/*"):
        at = path.stat().st_mtime - 86_400
        os.utime(path, (at, at))


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=30_000, help="citations before the first night")
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--new", type=int, default=300, help="citations of a night")
    parser.add_argument("--revised", type=int, default=300)
    parser.add_argument("--deleted", type=int, default=10)
    parser.add_argument("--file-mb", type=float, default=rewriting.FILE / (1 << 20), help="size of the files")
    given = parser.parse_args()
    rewriting.FILE = int(given.file_mb * (1 << 20))
    folder = tempfile.mkdtemp(prefix="craft-ray-scale-")
    try:
        storage, output = Storage(S3Settings()), str(Path(folder, "out"))
        tables = Tables(storage, output, "first")
        tables.append(all_written(tables, storage, np.arange(FIRST, FIRST + given.known), 90_000, "first"))
        tables.finish(compact=True)
        nights = []
        last = FIRST + given.known - 1
        for number in range(given.nights):
            size = (given.new, given.revised, given.deleted)
            nights.append(night(storage, output, number, last, size, given.known // 10))
            last += given.new
            a_day_passes(output)
            if number % 10 == 9:
                seconds, mb = (median(column) for column in zip(*nights[-10:], strict=True))
                print(f"night {number + 1}: {seconds:.2f} s, {mb:.1f} MB, medians of ten", file=sys.stderr)
        tables = Tables(storage, output, "after")
        report = {
            "nights": given.nights,
            "citations": last - FIRST + 1,
            "rows": tables.counts(),
            "files": {name: len(table.files()) for name, table in tables.by_name.items()},
            "files_in_log": {
                name: len(list(Path(table.path, "_delta_log").iterdir())) for name, table in tables.by_name.items()
            },
            "mb_of_log": round(sum(f.stat().st_size for f in Path(output).glob("*/_delta_log/*")) / 1e6, 1),
            "mb": round(sum(file.size for table in tables.by_name.values() for file in table.files()) / 1e6, 1),
            "of_a_night": {
                name: {
                    "the tenth and its neighbours": round(median(column[5:15]), 2),
                    "the last ten": round(median(column[-10:]), 2),
                    "most": round(max(column), 2),
                }
                for name, column in zip(("cpu_seconds", "mb_written"), zip(*nights, strict=True), strict=True)
            },
        }
    finally:
        shutil.rmtree(folder)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
