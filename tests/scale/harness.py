"""What all scenarios share: options and a folder, the command under observation, and processes without a past."""

import inspect
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import psutil
import typer

from craft_ray.bench.measure import CRAFT_RAY, run_command

app = typer.Typer(add_completion=False, no_args_is_help=True)

Scenario = Callable[..., Iterator[dict[str, Any]]]


def scenario(function: Scenario) -> Scenario:
    """Make a command of a function that takes a folder and options, and yields objects to print as JSON lines.

    The folder is new, and removed at the end.
    """

    def run(folder: Path | None, **options: Any) -> None:
        with tempfile.TemporaryDirectory(prefix="craft-ray-scale-", dir=folder) as new:
            for measured in function(Path(new), **options):
                print(json.dumps(measured), flush=True)

    parent = inspect.Parameter(
        "folder",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, typer.Option(help="Where the temporary folder goes.")],
    )
    options = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=_as_option(parameter.annotation))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "folder"
    ]
    run.__signature__ = inspect.Signature([*options, parent])  # type: ignore[attr-defined]
    app.command(function.__name__.replace("_", "-"), help=function.__doc__)(run)
    return function


def _as_option(kind: Any) -> Any:
    """Typer takes an option several times where its type is a list."""
    return list[get_args(kind)[0]] if get_origin(kind) is tuple else kind  # type: ignore[misc]


def command(*arguments: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the command with --json. Returns what it printed, and its seconds and peaks of memory."""
    done = run_command(*CRAFT_RAY, *map(str, arguments), "--json")
    used = {"seconds": round(done.seconds, 1), "cpu_seconds": round(done.cpu_seconds, 2), **asdict(done.peaks)}
    return json.loads(done.output.splitlines()[-1]), used


def in_new_process(function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """Run a function in a process of its own.

    Returns its CPU seconds, by how many MB the process grew at most, and what the function returns if that is a dict.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, function, arguments).result()


def _measured(function: Callable[..., Any], arguments: tuple[Any, ...]) -> dict[str, Any]:
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present size (proc(5))
    before, began = psutil.Process().memory_info().rss, time.process_time()
    found = function(*arguments)
    seconds = time.process_time() - began
    peak = 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    return {"cpu_seconds": round(seconds, 2), "peak_mb": round((peak - before) / 1e6)} | (found or {})
