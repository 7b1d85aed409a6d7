"""`craft-ray settings` and `craft-ray bench`: what this machine would do, and how fast."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from craft_ray.cli.console import add_row, console, plain_table
from craft_ray.cli.options import PANELS, Json, SettingsFile, options_from
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import EMBEDDED, Settings, setting_descriptions, settings_and_origins
from craft_ray.storage.addresses import absolute_output

EXAMPLES = {"bench": ("craft-ray bench articles/ pubmed26n1335.xml.gz --output bench",)}


@options_from(Settings, panels=PANELS)
def settings(settings: SettingsFile = None, as_json: Json = False, **chosen: Any) -> None:
    """List all settings, with the values that `annotate` would use here and their origins."""
    loaded, origins = settings_and_origins(settings, **chosen)
    values = loaded.model_dump(mode="json")
    rows = []
    for name, _, meaning in setting_descriptions():
        key = tuple(name.split("."))
        value: Any = values
        for part in key:
            value = value[part]
        rows.append({"setting": name, "value": value, "from": origins.get(key, "default"), "meaning": meaning})
    if as_json:
        print(json.dumps(rows))
        return
    table = plain_table("setting", "value", "from", "meaning")
    for row in rows:
        add_row(table, row["setting"], json.dumps(row["value"]), row["from"], row["meaning"])
    console().print(table)


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
    output = Path(absolute_output(str(output)))
    sizes = BenchSizes.gpu() if gpu else BenchSizes.quick() if quick else BenchSizes()
    terminal = console(stderr=True)
    result = run_benchmark(inputs or [str(SAMPLE)], sizes, lambda step: terminal.print(f"measuring {step}"), model, gpu)
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
        value = "no such files" if row["value"] is None else f"{row['value']:,}"
        add_row(table, row["what"], value, row["goal"], {True: "yes", False: "no", None: ""}[row["met"]])
    console().print(table)
