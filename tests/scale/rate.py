"""The rate of a run by what the tables hold already: `python -m tests.scale.rate --help`.

The same new citations go by turns into an output that holds many and into an empty one, with a stand-in for the model.
The steady rate is that between the first commit and the last; what is read before the first is a sum of its own.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from tests.scale.held import hold, write_citations
from tests.scale.measured import measured

SHARDS = 20
"""Files that the new citations are in."""


def run(inputs: Path, output: Path, new: int) -> dict[str, float]:
    """One run over an output, in short."""
    found = measured("annotate", str(inputs), "--output", str(output), "--model", "stand-in")
    said = found["said"]
    assert said["documents"]["annotated"] == new
    steps = said["timeline"]
    return {
        "cpu_seconds": found["cpu_seconds_all"],
        "seconds": found["seconds"],
        "seconds_to_first_block": steps["first_block"],
        "tokens_per_second": said["steady_tokens_per_second"],
        "documents_per_second": round(new / (steps["last_commit"] - steps["first_block"]), 1),
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=int, default=10_000_000)
    parser.add_argument("--new", type=int, default=40_000, help="citations of each run")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="craft-ray-scale-"))
    report: dict[str, Any] = {"known": given.known, "new": given.new, "over_known": [], "over_none": []}
    try:
        hold(folder / "known", given.known)
        for turn in range(given.rounds):
            inputs = folder / f"in{turn}"
            each = given.new // SHARDS
            for shard in range(SHARDS):
                first = given.known + turn * given.new + shard * each
                write_citations(inputs / f"{turn}-{shard:03}.jsonl", range(first, first + each))
            report["over_known"].append(run(inputs, folder / "known", each * SHARDS))
            report["over_none"].append(run(inputs, folder / f"none{turn}", each * SHARDS))
    finally:
        shutil.rmtree(folder)
    for name in ("tokens_per_second", "documents_per_second"):
        rates = [median(one[name] for one in report[kind]) for kind in ("over_known", "over_none")]
        report[f"{name}_known_by_none"] = round(rates[0] / rates[1], 3)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
