"""A whole night of revisions beside one of new citations: `python -m tests.scale.whole_night --help`.

The command runs with a stand-in for the model over tables that hold many citations with texts and entities: on new
ones, and on revisions from where PubMed's fall, of the newest tenth and from anywhere. Each night has an output of its
own.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from craft_ray.core.settings import S3Settings
from craft_ray.storage.storage import Storage
from craft_ray.tables.writer import Tables
from tests.scale.citations import first_run, where_pubmed_revises
from tests.scale.held import write_citations
from tests.scale.measured import measured

FIRST = 10_000_000
"""The number of the first citation."""

FILES = 4
"""Files that a night's citations are in; their names come behind those of the tables."""


def night(folder: Path, name: str, numbers: np.ndarray) -> dict[str, Any]:
    """One night over a copy of the tables, in short."""
    output, inputs = folder / f"out-{name}", folder / f"z-{name}"
    shutil.copytree(folder / "known", output)
    for place, part in enumerate(np.array_split(numbers, FILES)):
        write_citations(inputs / f"z-{place}.jsonl", part.tolist())
    found = measured("annotate", str(inputs), "--output", str(output), "--model", "stand-in", "--no-concepts")
    assert found["said"]["documents"]["annotated"] == len(numbers)
    shutil.rmtree(output)
    return {key: found[key] for key in ("seconds", "cpu_seconds", "cpu_seconds_all", "peak_mb")}


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=300_000)
    parser.add_argument("--documents", type=int, default=3_000, help="citations of a night")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="craft-ray-scale-"))
    try:
        storage = Storage(S3Settings())
        tables = Tables(storage, str(folder / "known"), "first")
        numbers = np.arange(FIRST, FIRST + given.known)
        first_run(tables, storage, numbers)
        tables.finish(compact=True)
        chance = np.random.default_rng(1)
        nights = {
            "new": numbers[-1] + 1 + np.arange(given.documents),
            "revised_as_pubmed_does": where_pubmed_revises(numbers, given.documents),
            "revised_newest": np.sort(chance.choice(numbers[-given.known // 10 :], given.documents, replace=False)),
            "revised_anywhere": np.sort(chance.choice(numbers, given.documents, replace=False)),
        }
        report: dict[str, Any] = {"known": given.known, "documents": given.documents}
        report |= {name: night(folder, name, chosen) for name, chosen in nights.items()}
    finally:
        shutil.rmtree(folder)
    for name in ("revised_newest", "revised_anywhere"):
        report[f"{name}_by_new"] = round(report[name]["seconds"] / report["new"]["seconds"], 2)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
