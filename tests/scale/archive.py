"""A large archive of articles, read by one task and by several: `python -m tests.scale.archive --help`.

The articles are generated: words in the layout of JATS, some 70 KB of XML each. The model is a stand-in. First the cost
of unpacking is measured beside that of all else that a read task does, in CPU time of one process; it decides in how
many parts an archive is read at the most. Then come tasks of Ray that read and do nothing else, and whole runs, with
one part and with more; their tables are equal. A whole run gives the processor seconds of each stage as well: where
they fill all cores with one reader, a second one has no core to run on.
"""

import argparse
import gzip
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import ray
import ray.data

import craft_ray
from craft_ray.annotation import plan
from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.annotation.prepare import Preprocessor, ReadTask, prepare_shards
from craft_ray.annotation.shared_ledger import SharedLedger
from craft_ray.core.connection import nodes, ray_session
from craft_ray.core.settings import S3Settings, Settings
from craft_ray.model.loading import load_checkpoint
from craft_ray.readers import ArchivePart, ReadOptions, read_items
from craft_ray.storage.shards import Shard, pack_shards
from craft_ray.storage.storage import Storage
from craft_ray.tables.ledger import Ledger, entries
from tests.scale.articles import write_archive
from tests.scale.measured import seconds_by_stage
from tests.support.outputs import table

PROFILED = 10_000_000
"""Bytes of the archive that one process reads; a larger one has the same shares."""


def _blocks(path: Path, part: int = 0, parts: int = 1) -> Iterator[Any]:
    checkpoint = load_checkpoint("stand-in")
    task = ReadTask.of(checkpoint, Ledger.of(entries([], [], [], [])))
    with path.open("rb") as stream:
        yield from Preprocessor(task).prepare(stream, Shard(path.name, 0, number=0, part=part, parts=parts))


def shares(path: Path) -> dict[str, float]:
    """CPU seconds of one process that unpacks an archive, passes over its files, and prepares all of them or a part."""
    seconds = {}
    began = time.process_time()
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            pass
    seconds["gunzip"] = time.process_time() - began
    began = time.process_time()
    with path.open("rb") as stream:
        # A part so small that no file is in it.
        for _ in read_items(stream, path.name, ReadOptions(), ArchivePart(0, 1 << 60)):
            pass
    seconds["pass over all files"] = time.process_time() - began
    for _ in _blocks(path, 0, plan.MOST_PARTS):
        pass  # which loads the tokenizer
    for part, parts in ((0, 1), (0, 2), (1, 2), (0, plan.MOST_PARTS)):
        began = time.process_time()
        for _ in _blocks(path, part, parts):
            pass
        seconds[f"read part {part + 1} of {parts}"] = time.process_time() - began
    return {name: round(value, 2) for name, value in seconds.items()}


def reading(path: Path, parts: int) -> float:
    """Seconds by the clock in which so many tasks of Ray read an archive, and nothing else is done with it."""
    nothing = Ledger.of(entries([], [], [], []))
    task = ray.put((ReadTask.of(load_checkpoint("stand-in"), nothing), SharedLedger.of(nothing)))
    shards = [Shard(str(path), path.stat().st_size, number=0, part=part, parts=parts) for part in range(parts)]
    groups = [{"shards": pack_shards([shard])} for shard in shards]
    dataset = ray.data.from_items(groups, override_num_blocks=parts).map_batches(
        prepare_shards,
        fn_kwargs={"storage": Storage(S3Settings()), "task": task, "attempt": plan.Attempt.FIRST},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
    )
    dataset.context.enable_progress_bars = False
    dataset.context.target_max_block_size = make_plan(Settings(), nodes()).block_bytes
    began = time.monotonic()
    for _ in dataset.iter_internal_ref_bundles():
        pass
    return round(time.monotonic() - began, 1)


def run(path: Path, output: Path, parts: int) -> dict[str, Any]:
    """A whole run with so many parts at the most, on a Ray that is started for it as the command starts it."""
    plan.MOST_PARTS, plan.SMALLEST_PART = parts, 1
    with ray_session(Settings()), seconds_by_stage(0.5) as stages:
        began = time.monotonic()
        summary = craft_ray.annotate(str(path), str(output), model="stand-in", concepts=False)
        seconds = time.monotonic() - began
    assert summary["adds_up"]
    assert summary["documents"]["annotated"] == summary["documents"]["found"]
    return {
        "seconds": round(seconds, 1),
        "timeline": summary["timeline"],
        "tokens": summary["tokens"],
        "processor_seconds": {stage: round(value, 1) for stage, value in stages.most_common()},
    }


def contents(output: Path) -> list[tuple[Any, ...]]:
    """All that is to be equal, whichever task read a document."""
    columns = ("doc_id", "status", "content_hash", "n_entities", "n_tokens")
    documents = table(output, "documents").select(columns)
    return sorted(zip(*(documents[name].to_pylist() for name in columns), strict=True))


def main() -> None:
    """Make the archive, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=2.0, help="size of the tar.gz")
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2], help="parts, a run each")
    parser.add_argument("--reading-only", action="store_true", help="leave the whole runs out")
    parser.add_argument(
        "--folder", type=Path, default=Path("scale"), help="where the archive and tables go; emptied first"
    )
    parser.add_argument("--report", type=Path, default=Path("archive.json"))
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    path, small = given.folder / "articles.tar.gz", given.folder / "small.tar.gz"
    articles = write_archive(path, int(given.gb * 1e9))
    write_archive(small, min(PROFILED, path.stat().st_size))
    report: dict[str, Any] = {
        "bytes": path.stat().st_size,
        "articles": articles,
        "cores": psutil.cpu_count(),
        f"cpu_seconds, {small.stat().st_size:,} bytes": shares(small),
    }

    def keep() -> None:
        given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")

    with ray_session(Settings()):
        reading(small, max(given.parts))  # which starts the workers
        report["seconds of reading alone"] = {}
        for parts in given.parts:
            report["seconds of reading alone"][parts] = reading(path, parts)
            keep()
    for parts in () if given.reading_only else given.parts:
        report[f"{parts} parts"] = run(path, given.folder / f"out{parts}", parts)
        keep()
        assert contents(given.folder / f"out{parts}") == contents(given.folder / f"out{given.parts[0]}")
    print(json.dumps(report, indent=1))
    shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()
