"""`craft-ray bench`."""

import json
from pathlib import Path
from typing import Annotated, Any

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
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for bench.json and bench.png.")] = Path(
        "bench"
    ),
    quick: Annotated[bool, typer.Option(help="Minutes in place of a quarter of an hour, for rough figures.")] = False,
    model: Annotated[str, typer.Option(help="A model that ships, a folder, or a Hugging Face id.")] = EMBEDDED,
    gpu: Annotated[
        bool, typer.Option(help="Measure this machine's GPU instead: 25 minutes, gpu.json and gpu.png.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine: the model, the host path and whole jobs, and what a user would run instead.

    Rivals are a Hugging Face pipeline at its best batch size, and Ray Data's documented pattern around it. Needs
    `pip install craft-ray[bench]`, and a machine that does nothing else.
    """
    try:
        from craft_ray.bench.benchmark import run_benchmark
        from craft_ray.bench.gpu import GpuSizes, run_gpu_benchmark
        from craft_ray.bench.inputs import SAMPLE
        from craft_ray.bench.measure import BenchSizes
        from craft_ray.bench.plot import plot, plot_gpu
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is not installed: pip install 'craft-ray[bench]'") from error

    if gpu and quick:
        raise SettingsError("--quick is for the benchmark of a CPU: leave it out with --gpu")
    on = console(stderr=True)
    given = inputs or [str(SAMPLE)]

    def tell(step: str) -> None:
        on.print(f"measuring {step}")

    if gpu:
        name, draw, result = "gpu", plot_gpu, run_gpu_benchmark(given, GpuSizes(), tell, model)
    else:
        sizes = BenchSizes.quick() if quick else BenchSizes()
        name, draw, result = "bench", plot, run_benchmark(given, sizes, tell, model)
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(result, output / f"{name}.png")
    if as_json:
        print(json.dumps(result))
    else:
        _print_goals(result)


def _print_goals(result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("what", "value", "goal", "met"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in result["goals"]:
        add_row(table, row["what"], f"{row['value']:,}", row["goal"], "yes" if row["met"] else "no")
    console().print(table)
