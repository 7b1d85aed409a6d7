"""The command `craft-ray`. Each error has its exit code (`errors`); 0 is done.

Slow imports (ray, torch, transformers) stand inside the commands, so that `--help` and bad arguments answer at once.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from rich.console import Console

from craft_ray.cli import annotate, bench, compact, evaluate, export, query, report, runs, show, train
from craft_ray.core.errors import CraftRayError, Interrupted, message

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Find Sequence, Cell, Protein, Gene, Taxon and Chemical mentions in any number of biomedical documents.",
)
evaluate_app = typer.Typer(no_args_is_help=True, help="Measure a model against a gold corpus.")

app.command(epilog=annotate.EXAMPLES)(annotate.annotate)
app.command(epilog=show.SHOW_EXAMPLES)(show.show)
app.command(epilog=query.QUERY_EXAMPLES)(query.query)
app.command()(query.top)
app.command()(query.pairs)
app.command(epilog=export.EXAMPLES)(export.export)
app.command()(runs.runs)
app.command(epilog=runs.DIFF_EXAMPLES)(runs.diff)
app.command(epilog=report.REPORT_EXAMPLES)(report.report)
app.command()(compact.compact)
app.command(epilog=train.EXAMPLES)(train.train)
app.add_typer(evaluate_app, name="evaluate")
evaluate_app.command("tokens")(evaluate.evaluate_tokens)
evaluate_app.command("documents")(evaluate.evaluate_documents)
app.command()(train.quantize)
app.command(epilog=bench.EXAMPLES)(bench.bench)


def main() -> NoReturn:
    """Run the command; errors of ours end as one sentence on stderr and their exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)  # until a run has handlers of its own
    sys.exit(_exit_code(app))


def _interrupted(*_: object) -> NoReturn:
    raise Interrupted


def _exit_code(run: Callable[..., Any]) -> int:
    try:
        result = run(standalone_mode=False)
    except (CraftRayError, Interrupted) as error:
        return _fail(error, error.exit_code)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong command line, as click reports it
            error.show()
            return int(error.exit_code)
        if os.environ.get("CRAFT_RAY_DEBUG"):
            raise
        return _fail(error, 1)
    return result if isinstance(result, int) else 0


def _fail(error: BaseException, code: int) -> int:
    if os.environ.get("CRAFT_RAY_DEBUG"):
        Console(stderr=True).print_exception()
    print(f"craft-ray: {message(error)}", file=sys.stderr)
    return code
