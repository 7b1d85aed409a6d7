"""cluster/README.md: its commands, links and figures, and its costs computed from the figures."""

import re
from pathlib import Path

import pytest

from craft_ray.annotation.prepare import Preprocessor, ReadTask
from craft_ray.model.loading import load_checkpoint
from craft_ray.storage.shards import Shard
from tests.support.commands import CLUSTER, ROOT, in_tables, parsed

PAGE = CLUSTER / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """Rows of a table by their first cell."""
    table = TEXT.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    return {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in table)}


def figures() -> dict[str, float]:
    return {name: float(cells[0].replace(",", "")) for name, cells in rows("what | figure | from").items()}


def hours(documents: float, tokens: float, speed: float) -> float:
    return documents * tokens / min(speed, figures()["driver, tokens/s"]) / 3600


def hardware() -> dict[str, tuple[float, float | None]]:
    """Tokens per second and price per hour, by row."""
    figure = figures()
    core = figure["tokens/s, two cores"] / 2
    spot = figure["spot price as a share"]
    host = (2 * 4 + 8) * figure["host path, tokens/s per core"]
    gpus = min(2 * figure["tokens/s per GPU"], host)
    machines = 2 * figure["$ per hour, GPU with 4 cores"] + figure["$ per hour, 8 cores"]
    return {
        "laptop": (2 * core, None),
        "one big": (64 * core, figure["$ per hour, 64 cores"]),
        "Slurm": (4 * 64 * core, None),
        "KubeRay or AWS": (gpus, spot * machines + figure["$ per hour, head"]),
    }


@pytest.mark.parametrize("name", ["laptop", "one big", "Slurm", "KubeRay or AWS"])
def test_costs_follow_from_the_figures(name: str):
    figure = figures()
    speed, price = hardware()[name]
    (cells,) = [
        cells for row, cells in rows("where | PubMed, hours | PubMed, $ | PMC, hours | PMC, $").items() if name in row
    ]
    pubmed = hours(figure["PubMed, abstracts"], figure["tokens per abstract"], speed)
    pmc = hours(figure["PMC open access, articles"], figure["tokens per article"], speed)
    paid = ["" if price is None else f"{time * price:,.0f}" for time in (pubmed, pmc)]
    assert cells == [f"{pubmed:.1f}", paid[0], f"{pmc:.1f}", paid[1]]


def test_measured_figures_are_those_of_bench():
    readme = (ROOT / "craft_ray/bench/README.md").read_text(encoding="utf-8")
    speed = re.search(r"start-up apart \| ([\d,]+) tokens/s", readme)[1]  # type: ignore[index]
    host = re.search(r"PubMed ([\d,]+) with concept ids", readme)[1]  # type: ignore[index]
    assert figures()["tokens/s, two cores"] == float(speed.replace(",", ""))
    assert figures()["host path, tokens/s per core"] == float(host.replace(",", ""))
    assert f"`GPUs x S / {host}`" in TEXT


@pytest.mark.parametrize(
    ("inputs", "name", "section"),
    [("pubmed/*/*.xml.gz", "tokens per abstract", "abstract"), ("craft/jats/*.nxml", "tokens per article", "")],
)
def test_tokens_per_document(inputs: str, name: str, section: str, data: Path):
    checkpoint = load_checkpoint("stand-in")
    preparer = Preprocessor(ReadTask.of(checkpoint))
    documents = tokens = 0
    for number, file in enumerate(sorted(data.glob(inputs))):
        with file.open("rb") as stream:
            for table in preparer.prepare(stream, Shard(str(file), 0, number=number)):
                for row in table.select(["status", "n_tokens", "sections"]).to_pylist():
                    if row["status"] == "annotated" and any(section in part["name"] for part in row["sections"]):
                        documents, tokens = documents + 1, tokens + row["n_tokens"]
    assert figures()[name] == round(tokens / documents)
    measured = rows("what | figure | from")[name][1]
    assert f"{tokens:,} tokens in" in measured
    assert str(documents) in measured


def test_commands_are_valid():
    lines = [line for line in in_tables(PAGE) if re.match(r"craft-ray |ray |python jobs/annotate", line)]
    assert len([line for line in lines if parsed(line)]) == len(lines) >= 7
    for path in re.findall(r"cluster/\S+", " ".join(lines)):
        assert (ROOT / path).exists(), path
