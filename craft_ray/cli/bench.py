"""`craft-ray bench`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from craft_ray.cli.console import add_row, console
from craft_ray.cli.options import Json
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import EMBEDDED

EXAMPLES = """Example:

    craft-ray bench articles/ pubmed26n1335.xml.gz --output bench
"""


def bench(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Documents to measure with, repeated as needed.", metavar="INPUT...", show_default="a sample"
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for bench.json or gpu.json.")] = Path("bench"),
    quick: Annotated[bool, typer.Option(help="Minutes instead of half an hour, for rough figures.")] = False,
    model: Annotated[str, typer.Option(help="A model that ships, a folder, or a Hugging Face id.")] = EMBEDDED,
    gpu: Annotated[bool, typer.Option(help="Measure this machine's GPU instead.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine: the model, the host path and whole jobs, and what a user would run instead.

    Rivals are a Hugging Face pipeline at its best batch size, and Ray Data's documented pattern around it. Needs
    `pip install torch transformers` and an otherwise idle machine.
    """
    try:
        from craft_ray.bench.benchmark import run_benchmark
        from craft_ray.bench.inputs import SAMPLE, BenchSizes
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is not installed: pip install {error.name}") from error

    if gpu and quick:
        raise SettingsError("--quick is for the benchmark of a CPU: leave it out with --gpu")
    given = inputs or [str(SAMPLE)]
    terminal = console(stderr=True)

    def show(step: str) -> None:
        terminal.print(f"measuring {step}")

    sizes = BenchSizes.gpu() if gpu else BenchSizes.quick() if quick else BenchSizes()
    result = run_benchmark(given, sizes, show, model, gpu)
    output.mkdir(parents=True, exist_ok=True)
    file = output / ("gpu.json" if gpu else "bench.json")
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if as_json:
        print(json.dumps(result))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("what", "value", "goal", "met"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in result["goals"]:
        add_row(table, row["what"], f"{row['value']:,}", row["goal"], "yes" if row["met"] else "no")
    console().print(table)
