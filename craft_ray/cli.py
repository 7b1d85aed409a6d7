"""The command `craft-ray`. Exit codes: 0 done, 1 failed, 2 a bad setting, 3 stopped by a signal.

Slow imports (ray, torch, transformers) stand inside the commands, so that `--help` and bad arguments answer at once.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from craft_ray.errors import CraftRayError, SettingsError, Stopped

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Find Sequence, Cell, Protein, Gene, Taxon and Chemical mentions in any number of biomedical documents.",
)
evaluate_app = typer.Typer(no_args_is_help=True, help="Measure a model against a gold corpus.")
app.add_typer(evaluate_app, name="evaluate")

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line of stdout.")]
ModelOption = Annotated[
    str | None,
    typer.Option(help="`embedded`, a folder (local or s3://), or a Hugging Face id.", show_default="embedded"),
]


@app.command(
    epilog="""Examples:

    craft-ray annotate pubmed/updatefiles --output tables

    craft-ray annotate 's3://bucket/pmc/*.tar.gz' --output s3://bucket/tables --replicas 8

    craft-ray annotate notes.jsonl --output tables --json | tail -n 1
"""
)
def annotate(
    inputs: Annotated[list[str], typer.Argument(help="Files, folders or globs, on disk or s3://.", metavar="INPUT...")],
    output: Annotated[str, typer.Option(help="Folder of the tables, on disk or s3://; made if absent.")],
    model: ModelOption = None,
    format: Annotated[
        str | None,
        typer.Option(help="pubmed, jats, bioc, pubtator, jsonl, parquet or text.", show_default="told by content"),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(help="Copies of the model that work at once.", show_default="one a GPU, or 8 cores")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="YAML file of settings; arguments and CRAFT_RAY_* variables go before it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Annotate documents into the Delta tables `entities` and `documents`.

    Run again with the same output, it annotates only what is new or changed. Exit codes: 0 the run came to its end and
    its account adds up, 1 it failed, 2 a bad setting, 3 stopped by a signal with everything committed kept.
    """
    from craft_ray.settings import load_settings

    chosen = load_settings(settings, model=model, format=format, replicas=replicas)
    from craft_ray.annotation import annotate as run
    from craft_ray.progress import print_summary, shown

    console = Console(stderr=True)
    try:
        with shown(console) as show:
            summary = run(inputs, output, chosen, show)
    except Stopped as stopped:
        console.print(str(stopped))
        summary = stopped.summary
    print_summary(console if as_json else Console(), summary)
    if as_json:
        print(json.dumps(summary))
    if summary["status"] == "stopped":
        raise typer.Exit(3)


@app.command()
def show(
    output: Annotated[str, typer.Argument(help="Folder of the tables, on disk or s3://.")],
    limit: Annotated[int, typer.Option(help="Rows to show.")] = 20,
) -> None:
    """Show the first entities of an output."""
    from craft_ray.progress import print_entities
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage, absolute
    from craft_ray.tables import read_entities

    rows = read_entities(Storage(load_settings().s3), absolute(output), limit)
    print_entities(Console(), rows)


@app.command()
def train(
    train: Annotated[str, typer.Option(help="Corpus to train on, in IOB form: word, tab, tag.")],
    dev: Annotated[str, typer.Option(help="Corpus to measure on after each epoch.")],
    base: Annotated[str, typer.Option(help="Encoder to start from: a folder or a Hugging Face id.")],
    output: Annotated[str, typer.Option(help="Folder that receives the checkpoint and its card.")],
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 3e-5,
    batch_size: Annotated[int, typer.Option(help="Sentences a step.")] = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the corpus.")] = 4,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")] = 42,
    bf16: Annotated[bool, typer.Option(help="Compute in bfloat16 where it is safe.")] = False,
    bucket: Annotated[bool, typer.Option(help="Batch sentences of like length: faster.")] = False,
    max_steps: Annotated[int, typer.Option(help="Stop after so many steps; -1 for all.")] = -1,
    as_json: Json = False,
) -> None:
    """Fine-tune an encoder on CRAFT-IOB. The defaults are the published CRAFT card's."""
    from craft_ray.training import Recipe
    from craft_ray.training import train as run

    recipe = Recipe(
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=epochs,
        warmup=warmup,
        seed=seed,
        bf16=bf16,
        bucket=bucket,
        max_steps=max_steps,
    )
    result = run(train, dev, base, output, recipe)
    last = result.rows[-1]
    print(
        json.dumps(last | {"per_label": result.per_label, "output": output})
        if as_json
        else f"F1 {last['f1']:.4f}, precision {last['precision']:.4f}, recall {last['recall']:.4f}: {output}"
    )


@evaluate_app.command("tokens")
def evaluate_tokens(
    gold: Annotated[str, typer.Option(help="Gold corpus in IOB form.")],
    model: ModelOption = None,
    as_json: Json = False,
) -> None:
    """Score a model on the words of a gold corpus: mentions as seqeval counts them, accuracy and loss over words."""
    from craft_ray.checkpoint import load_checkpoint
    from craft_ray.corpora import read_iob
    from craft_ray.evaluation import evaluate_tokens as run
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage

    sentences = read_iob(gold)
    chosen = load_settings(model=model)
    scores = run(load_checkpoint(chosen.model, Storage(chosen.s3).fetch), sentences)
    if as_json:
        print(json.dumps(scores))
    else:
        _print_scores(scores)


def _print_scores(scores: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("precision", "recall", "f1", "support"):
        table.add_column(name, justify="right")
    for name, row in [*scores["per_label"].items(), ("all", scores)]:
        figures = (f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1"))
        table.add_row(name, *figures, f"{row['support']:,}")
    console = Console()
    console.print(table)
    console.print(f"accuracy {scores['accuracy']:.4f}, loss {scores['loss']:.4f}")


def main() -> NoReturn:
    """Run the command; errors of ours end as one sentence on stderr and their exit code."""
    sys.exit(_exit_code(app))


def _exit_code(run: Callable[..., Any]) -> int:
    try:
        result = run(standalone_mode=False)
    except SettingsError as error:
        return _fail(error, 2)
    except CraftRayError as error:
        return _fail(error, 1)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except KeyboardInterrupt:
        return 3
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a wrong command line, as click reports it
            error.show()
            return int(error.exit_code)
        if os.environ.get("CRAFT_RAY_DEBUG"):
            raise
        return _fail(error, 1)
    return result if isinstance(result, int) else 0


def _fail(error: Exception, code: int) -> int:
    if os.environ.get("CRAFT_RAY_DEBUG"):
        Console(stderr=True).print_exception()
    message = str(error) if isinstance(error, CraftRayError) else f"{type(error).__name__}: {error}"
    print(f"craft-ray: {message}", file=sys.stderr)
    return code
