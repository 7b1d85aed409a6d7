"""The command `craft-ray`. Exit codes are those of the errors (`core/errors.py`).

Slow imports (ray, torch, transformers) are inside the commands, so that `--help` and bad arguments answer quickly.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from craft_ray.cli.console import console, discard_output
from craft_ray.cli.options import requested_log_format
from craft_ray.core.errors import CraftRayError, Interrupted, SettingsError, message
from craft_ray.core.logs import configure_logging, log, logs_json
from craft_ray.core.packages import OPTIONAL, missing
from craft_ray.core.text import one_line, safe
from craft_ray.core.version import __version__

COMMANDS = {
    "annotate": "annotate.annotate",
    "demo": "annotate.demo",
    "show": "show.show",
    "query": "query.query",
    "top": "counts.top",
    "pairs": "counts.pairs",
    "export": "export.export",
    "runs": "tables.runs",
    "rejected": "tables.rejected",
    "diff": "counts.diff",
    "report": "tables.report",
    "verify": "tables.verify",
    "compact": "tables.compact",
    "ground": "tables.ground",
    "evaluate concepts": "concepts.evaluate",
    "concepts build": "concepts.build",
    "settings": "machine.settings",
    "train": "train.train",
    "evaluate tokens": "evaluate.evaluate_tokens",
    "evaluate documents": "evaluate.evaluate_documents",
    "quantize": "evaluate.quantize",
    "publish": "evaluate.publish",
    "rescore": "evaluate.rescore",
    "bench": "machine.bench",
}
"""File and function of each command. The help is the function's docstring, and the command lines that EXAMPLES in the
file has for the function.
"""

GROUPS = {
    "concepts": "Compile ontologies, from which mentions get the ids of concepts.",
    "evaluate": "Measure a model against a gold corpus.",
}
"""Commands with subcommands."""

_HELP = {"help_option_names": ["-h", "--help"]}


def make_app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings=_HELP,
        help="Find genes, diseases, chemicals, organisms, cells and more in any number of biomedical documents.",
    )
    app.callback()(_options)
    groups: dict[str, typer.Typer] = {}
    for name in names:
        group, _, command = name.rpartition(" ")
        if group and group not in groups:
            groups[group] = typer.Typer(no_args_is_help=True, help=GROUPS[group], context_settings=_HELP)
            app.add_typer(groups[group], name=group)
        file, _, function = COMMANDS[name].partition(".")
        module = import_module(f"craft_ray.cli.{file}")
        examples = getattr(module, "EXAMPLES", {}).get(function, ())
        epilog = f"Example{'s' * (len(examples) > 1)}:\n\n" + "\n\n".join(f"    {one}" for one in examples)
        decorate = groups.get(group, app).command(command, epilog=epilog if examples else None, context_settings=_HELP)
        decorate(getattr(module, function))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def __getattr__(name: str) -> typer.Typer:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_app()


def _named_by(arguments: Sequence[str]) -> list[str]:
    """The command of a command line, or those of its group, since importing all takes longer; all if it is neither."""
    return [name for name in COMMANDS if name.split()[0] == arguments[0]] if arguments else []


def main() -> NoReturn:
    """Run the command. Expected errors end as one sentence on stderr and their exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)  # until a run has handlers of its own
    if requested_log_format(sys.argv[1:]) == "json":
        configure_logging("json")  # also for what fails before settings are read
    sys.exit(_exit_code(make_app(_named_by(sys.argv[1:]) or COMMANDS)))


def _interrupted(*_: object) -> NoReturn:
    raise Interrupted


def _exit_code(run: Callable[..., Any]) -> int:
    try:
        result = run(standalone_mode=False)
        sys.stdout.flush()
    except (CraftRayError, Interrupted) as error:
        return _fail(error, error.exit_code)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except (BrokenPipeError, SystemExit):  # the reader of the output has ended, as `head` does; click exits with 1
        discard_output()
        return 0
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL or os.environ.get("CRAFT_RAY_DEBUG"):
            raise
        return _fail(SettingsError(missing(error.name, "this")), SettingsError.exit_code)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's error for a wrong command line
            if logs_json() and hasattr(error, "format_message"):
                return _fail(SettingsError(error.format_message()), int(error.exit_code))
            error.show()
            return int(error.exit_code)
        if os.environ.get("CRAFT_RAY_DEBUG"):
            raise
        return _fail(error, 1)
    return result if isinstance(result, int) else 0


def _fail(error: BaseException, code: int) -> int:
    """Print an error without control characters, or log it if logs are JSON, and return the exit code."""
    if os.environ.get("CRAFT_RAY_DEBUG"):
        console(stderr=True).print_exception()
    if logs_json():
        run = {name: value for name, value in (getattr(error, "summary", None) or {}).items() if name == "run_id"}
        log.error("command failed", extra={**run, "error": message(error), "exit_code": code})
    else:
        print(f"craft-ray: {one_line(message(error))}", file=sys.stderr)
        if excerpt := getattr(error, "excerpt", ""):
            print(safe(excerpt), file=sys.stderr)
    return code
