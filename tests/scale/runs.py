"""Whole runs of the command, with a stand-in for the model."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.scale.generated import FIRST, first_run, large_output, texts, write_jsonl
from tests.scale.harness import command, scenario
from tests.support.outputs import assert_consistent
from tests.support.pubmed import citation, pubmed_file

PUBMED = ((0.015, 25 / 27), (0.06, 1 / 27), (1.0, 1 / 27))
"""Where 27 revised citations of an update file of January 2026 were: shares of the newest, and how many of the 27."""


def annotate(
    inputs: Path, output: Path, *options: str, generated: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Annotate, and verify the output.

    generated: it also holds rows that no run has written, whose mentions are not in their texts
    """
    summary, used = command("annotate", inputs, "--output", output, "--model", "stand-in", *options)
    assert summary["adds_up"]
    if not generated:
        assert_consistent(output)
    return summary, used


@scenario
def rate(
    folder: Path, existing: int = 10_000_000, new: int = 40_000, shards: int = 20, turns: int = 3
) -> Iterator[dict[str, Any]]:
    """Speed of runs into an output with many citations and into an empty one, by turns.

    The steady rate leaves out what happens before the first commit.
    """
    large_output(folder / "existing", existing)
    rates: dict[str, list[float]] = {"existing": [], "empty": []}
    for turn in range(turns):
        first = FIRST + existing + turn * new
        inputs = write_jsonl(folder / f"in{turn}", range(first, first + new), shards, prefix=f"{turn}-")
        for name, output in (("existing", folder / "existing"), ("empty", folder / f"empty{turn}")):
            summary, used = annotate(inputs, output, generated=name == "existing")
            assert summary["documents"]["annotated"] == new
            rates[name].append(summary["steady_tokens_per_second"] or summary["tokens_per_second"])
            found = {"tokens_per_second": rates[name][-1], "first_block": summary["timeline"]["first_block"]}
            yield {"into": name} | found | used
    yield {"existing_to_empty": round(median(rates["existing"]) / median(rates["empty"]), 3)}


@scenario
def citation_file(folder: Path, citations: int = 30_000) -> Iterator[dict[str, Any]]:
    """One large PubMed file: memory of the largest worker, and how early the first rows are committed."""
    content = (citation(number, texts()[number % len(texts())]) for number in range(citations))
    path = Path(pubmed_file(folder / "pubmed.xml", *content))
    summary, used = annotate(path, folder / "out", "--no-concepts")
    assert summary["documents"]["annotated"] == citations
    record = json.loads((folder / "out" / "runs" / f"{summary['run_id']}.json").read_text())
    first = record["progress"][0][1]
    yield {"mb": round(path.stat().st_size / 1e6, 1), "citations_in_first_commit": first} | used


@scenario
def revisions(folder: Path, existing: int = 300_000, documents: int = 3_000) -> Iterator[dict[str, Any]]:
    """Nights of revised citations and of new ones, each over an output of its own."""
    tables, numbers = first_run(folder / "existing", existing)
    tables.finish(compact=True)
    chance = np.random.default_rng(1)
    nights = {
        "new": numbers[-1] + 1 + np.arange(documents),
        "revised as PubMed does": where_pubmed_revises(numbers, documents),
        "revised among the newest tenth": chance.choice(numbers[-existing // 10 :], documents, replace=False),
        "revised anywhere": chance.choice(numbers, documents, replace=False),
    }
    for name, chosen in nights.items():
        output = folder / "out"
        shutil.copytree(folder / "existing", output)
        inputs = write_jsonl(folder / f"z-{name}", np.sort(chosen), 4, prefix="z-")  # newer than all other shards
        summary, used = annotate(inputs, output, "--no-concepts", generated=True)
        assert summary["documents"]["annotated"] == documents
        shutil.rmtree(output)
        yield {"night": name} | used


def where_pubmed_revises(numbers: np.ndarray, revised: int) -> np.ndarray:
    """Choose numbers spread over the newest as PubMed's revisions are."""
    chance = np.random.default_rng(3)
    chosen = np.array([], numbers.dtype)
    for newest, share in PUBMED:
        among = np.setdiff1d(numbers[-round(newest * len(numbers)) :], chosen)
        chosen = np.append(chosen, chance.choice(among, round(share * revised), replace=False))
    return chosen
