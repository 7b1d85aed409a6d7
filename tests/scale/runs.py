"""Nights over an output of many citations, with a stand-in for the model."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.scale.generated import first_run, write_jsonl
from tests.scale.harness import command, scenario

PUBMED = ((0.015, 25 / 27), (0.06, 1 / 27), (1.0, 1 / 27))
"""Where 27 revised citations of an update file of January 2026 were: shares of the newest, and how many of the 27."""


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
        summary, used = command("annotate", inputs, "--output", output, "--model", "stand-in", "--no-concepts")
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
