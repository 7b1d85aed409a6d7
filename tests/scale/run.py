"""The cost of a run beside its model, as documents and shards grow: `python -m tests.scale.run --help`.

Synthetic documents and a stand-in for the model, so that hundreds of thousands go through a small machine. From two
sizes comes the slope, and from the slope what a larger collection would need.
"""

import argparse
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

import craft_ray
from craft_ray.bench.memory import peak_memory

WORDS = ["Pax6", "mouse", "kinase", "cells", "binds", "yeast", "the", "of", "in", "expression", "was", "membrane"]


def write_shards(folder: Path, shards: range, documents: int, words: int) -> None:
    """JSON lines of synthetic documents, so many a shard."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        random_ = random.Random(shard)
        lines = (
            json.dumps({"id": f"{shard}-{number}", "text": " ".join(random_.choices(WORDS, k=words)) + "."})
            for number in range(documents)
        )
        (folder / f"{shard:06}.jsonl").write_text("\n".join(lines) + "\n")


def measured(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A run's summary in short, its time by the clock and its peaks of memory, Ray's own start left out."""
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    try:
        with peak_memory(1.0) as peaks:
            began = time.monotonic()
            summary = run()
            seconds = time.monotonic() - began
    finally:
        ray.shutdown()
    assert summary["adds_up"]
    kept = {name: summary[name] for name in ("documents", "tokens", "timeline")}
    return {"seconds": round(seconds, 1), **kept, "shards": summary["shards"]["found"], **peaks}


def size_of(output: Path) -> dict[str, int]:
    """Files and commits of an output's tables."""
    return {
        "parquet_files": sum(1 for _ in output.rglob("*.parquet")),
        "commits": sum(1 for _ in (output / "documents" / "_delta_log").glob("*.json")),
        "bytes": sum(file.stat().st_size for file in output.rglob("*") if file.is_file()),
    }


def measure(folder: Path, shards: int, documents: int, words: int) -> dict[str, Any]:
    """A first run, one with nothing new, and one with a shard more."""
    write_shards(folder / "in", range(shards), documents, words)
    output = folder / "out"

    def run() -> dict[str, Any]:
        return craft_ray.annotate(str(folder / "in"), str(output), model="stand-in")

    report: dict[str, Any] = {"first": measured(run) | size_of(output)}
    report["nothing_new"] = measured(run)
    write_shards(folder / "in", range(shards, shards + 1), documents, words)
    report["one_shard_more"] = measured(run) | size_of(output)
    assert report["nothing_new"]["documents"]["unchanged"] == shards * documents
    assert report["one_shard_more"]["documents"]["annotated"] == documents
    return report


def main() -> None:
    """Measure at a tenth of the size and at the size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--documents", type=int, default=300, help="documents in a shard")
    parser.add_argument("--words", type=int, default=60, help="words in a document")
    parser.add_argument("--folder", type=Path, default=Path("scale"), help="where inputs and tables go; emptied first")
    parser.add_argument("--report", type=Path, default=Path("scale.json"))
    given = parser.parse_args()
    report = {}
    for shards in (given.shards // 10, given.shards):
        shutil.rmtree(given.folder, ignore_errors=True)
        report[f"{shards * given.documents:,} documents"] = measure(given.folder, shards, given.documents, given.words)
        given.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(given.folder)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
