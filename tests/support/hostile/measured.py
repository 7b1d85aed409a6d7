"""Read every hostile shard in a process of its own: `python -m tests.support.hostile.measured BYTES FOLDER`.

Prints a line of JSON per shard: its name, its rows, the memory that reading took in MB, and the seconds of CPU time.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.readers import limits
from craft_ray.storage.shards import Shard
from tests.support.hostile.corpus import cases
from tests.support.hostile.making import Case
from tests.support.models import CHECKPOINT

PREPARER = Preprocessor(ReadTask.of(CHECKPOINT))
COLUMNS = ["doc_id", "status", "reason", "metadata"]


def make(case: Case, path: Path) -> None:
    path.write_bytes(case.make())


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a shard without their texts, of which the next stage has one table at a time."""
    with path.open("rb") as stream:
        tables = PREPARER.prepare(stream, Shard(path.name, 0, number=0))
        rows: list[dict[str, Any]] = pa.concat_tables(table.select(COLUMNS) for table in tables).to_pylist()
    return rows


def in_child(action: Callable[..., Any], *arguments: Any) -> tuple[Any, int, float]:
    """The result of an action in a child process, the memory that it took in KB, and the CPU time."""
    before = psutil.Process().memory_info().rss >> 10
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        with open(sender, "w") as pipe:
            json.dump(action(*arguments), pipe)
        os._exit(0)
    os.close(sender)
    with open(receiver) as pipe:
        sent = pipe.read()
    used = os.wait4(child, 0)[2]
    return json.loads(sent), used.ru_maxrss - before, used.ru_utime + used.ru_stime


def main(max_document_bytes: int, folder: Path) -> None:
    limits.MAX_DOCUMENT_BYTES = max_document_bytes
    warm = folder / "warm.txt"
    warm.write_text("A mouse.")
    read(warm)
    for case in cases():
        path = folder / case.name
        in_child(make, case, path)
        rows, grown, seconds = in_child(read, path)
        path.unlink()
        print(json.dumps([case.name, rows, grown >> 10, seconds]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
