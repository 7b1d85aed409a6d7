"""The command `craft-ray`. Exit codes: 0 done, 1 failed, 2 a bad setting, 3 stopped by a signal, 4 another run at work.

Slow imports (ray, torch, transformers) stand inside the commands, so that `--help` and bad arguments answer at once.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, cast

import typer
from rich.console import Console

from craft_ray.errors import Busy, CraftRayError, SettingsError, Stopped

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
    max_rejected: Annotated[
        float | None,
        typer.Option(help="Share of the documents that may be rejected before the run stops.", show_default="0.9"),
    ] = None,
    model_sha256: Annotated[
        str | None, typer.Option("--model-sha256", help="Fingerprint that the model must have.", metavar="HEX")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="YAML file of settings; arguments and CRAFT_RAY_* variables go before it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Annotate documents into the Delta tables `entities` and `documents`.

    Run again with the same output, it annotates only what is new or changed. Exit codes: 0 the run came to its end and
    its account adds up, 1 it failed, 2 a bad setting, 3 stopped by a signal with everything committed kept, 4 another
    run is at work on the output.
    """
    from craft_ray.settings import load_settings

    chosen = load_settings(
        settings,
        model=model,
        format=format,
        replicas=replicas,
        max_rejected=max_rejected,
        model_sha256=model_sha256,
    )
    from craft_ray.annotation import annotate as run
    from craft_ray.progress import print_summary, shown

    console = Console(stderr=True)
    try:
        with shown(console) as show:
            summary = run(inputs, output, chosen, show)
    except Stopped as stopped:
        console.print(str(stopped))
        if stopped.summary is None:
            raise typer.Exit(3) from None
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


@app.command(
    epilog="""Examples:

    craft-ray train --train train.tsv --dev devel.tsv --base dmis-lab/biobert-base-cased-v1.2 --output biobert-craft

    craft-ray train --train CRAFT --train-ids train.txt --dev CRAFT --dev-ids dev.txt --base DIR --output s3://bucket/model
"""
)
def train(
    train: Annotated[str, typer.Option(help="Corpus to train on: an IOB file, or a folder of CRAFT as released.")],
    dev: Annotated[str, typer.Option(help="Corpus to measure on after each epoch, in either form.")],
    base: Annotated[str, typer.Option(help="Encoder to start from: a folder or a Hugging Face id.")],
    output: Annotated[str, typer.Option(help="Folder for the checkpoint and its card, on disk or s3://.")],
    train_ids: Annotated[str | None, typer.Option(help="Articles of CRAFT to train on, an id a line.")] = None,
    dev_ids: Annotated[str | None, typer.Option(help="Articles of CRAFT to measure on, an id a line.")] = None,
    auxiliary: Annotated[
        list[str] | None,
        typer.Option(help="IOB file, or folder of them, with labels of its own, to learn from first; repeatable."),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 3e-5,
    batch_size: Annotated[int, typer.Option(help="Windows a step, over all workers.")] = 8,
    epochs: Annotated[float, typer.Option(help="Passes over the corpus.")] = 4,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the learning rate rises.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(help="Weight decay.")] = 0.0,
    dropout: Annotated[
        float | None, typer.Option(help="Dropout of hidden states.", show_default="the base model's")
    ] = None,
    attention_dropout: Annotated[
        float | None, typer.Option(help="Dropout of attention weights.", show_default="the base model's")
    ] = None,
    window_pieces: Annotated[
        int, typer.Option(help="Word pieces up to which consecutive sentences share a window; 0: a sentence each.")
    ] = 0,
    cased: Annotated[bool, typer.Option(help="Give an uncased base a cased vocabulary.")] = False,
    averaged: Annotated[int, typer.Option(help="Trainings, each of its own seed, whose weights are averaged.")] = 1,
    swap: Annotated[
        list[str] | None,
        typer.Option(help="Replace a share of a label's names each epoch; repeatable.", metavar="LABEL=SHARE"),
    ] = None,
    auxiliary_epochs: Annotated[float, typer.Option(help="Passes over the auxiliary corpora.")] = 1,
    auxiliary_learning_rate: Annotated[
        float | None, typer.Option(help="Highest learning rate of these passes.", show_default="the learning rate")
    ] = None,
    auxiliary_repeats: Annotated[int, typer.Option(help="Times that the corpus itself is in such a pass.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of all randomness.")] = 42,
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, or auto: bf16 where the device computes in it.", metavar="FORMAT")
    ] = "auto",
    bucket: Annotated[bool, typer.Option(help="Batch windows of like length: faster.")] = False,
    max_steps: Annotated[int, typer.Option(help="Stop after so many steps; -1 for all.")] = -1,
    workers: Annotated[int, typer.Option(help="Processes that train together, one a GPU.")] = 1,
    accumulate: Annotated[int, typer.Option(help="Parts in which a worker computes a step, to save memory.")] = 1,
    as_json: Json = False,
) -> None:
    """Fine-tune an encoder on CRAFT. The defaults are the published CRAFT card's.

    Killed at any moment and run again, it goes on from the last epoch.
    """
    from craft_ray.corpora import read_sentences
    from craft_ray.learning import Recipe
    from craft_ray.progress import steps_shown
    from craft_ray.settings import load_settings
    from craft_ray.training import Corpus
    from craft_ray.training import train as run

    def corpus(path: str, ids: str | None = None) -> Corpus:
        return Corpus("/".join(Path(path).resolve().parts[-2:]), read_sentences(path, ids))

    if precision not in ("auto", "fp32", "bf16"):
        raise SettingsError(f"unknown precision {precision!r}: choose auto, fp32 or bf16")
    recipe = Recipe(
        learning_rate=learning_rate,
        batch_size=batch_size,
        epochs=epochs,
        warmup=warmup,
        weight_decay=weight_decay,
        dropout=dropout,
        attention_dropout=attention_dropout,
        averaged=averaged,
        seed=seed,
        precision=cast(Literal["auto", "fp32", "bf16"], precision),
        bucket=bucket,
        max_steps=max_steps,
        window_pieces=window_pieces,
        cased=cased,
        swap=_shares(swap or ()),
        auxiliary_epochs=auxiliary_epochs,
        auxiliary_learning_rate=auxiliary_learning_rate,
        auxiliary_repeats=auxiliary_repeats,
    )
    with steps_shown(Console(stderr=True)) as on_step:
        trained = run(
            corpus(train, train_ids),
            corpus(dev, dev_ids),
            base,
            output,
            recipe,
            auxiliary=[corpus(path) for path in auxiliary or ()],
            workers=workers,
            accumulate=accumulate,
            settings=load_settings(),
            on_step=on_step,
        )
    if as_json:
        print(json.dumps({**trained.scores, "epochs": trained.rows, "output": output}))
    else:
        _print_scores(dict(trained.scores))
        print(output)


def _shares(given: Sequence[str]) -> dict[str, float]:
    """`Protein=0.4` as a label and a share."""
    from craft_ray.labels import LABELS

    shares = {}
    for text in given:
        label, _, share = text.partition("=")
        try:
            shares[label] = float(share)
        except ValueError:
            shares[label] = -1.0
        if label not in {known.name for known in LABELS} or not 0 <= shares[label] <= 1:
            raise SettingsError(f"--swap {text}: give one of the six labels and a share from 0 to 1, as Protein=0.4")
    return shares


Seen = Annotated[
    str | None,
    typer.Option(
        "--train",
        help="Corpus that the model was trained on, to tell seen mentions from unseen.",
        show_default="the mentions that the model itself remembers",
    ),
]


PrecisionOption = Annotated[
    str, typer.Option(help="fp32, bf16, int8, or auto: as `annotate` runs it on this machine.", metavar="FORMAT")
]


@evaluate_app.command("tokens")
def evaluate_tokens(
    gold: Annotated[str, typer.Option(help="Gold corpus in IOB form.")],
    model: ModelOption = None,
    train: Seen = None,
    precision: PrecisionOption = "auto",
    as_json: Json = False,
) -> None:
    """Score a model on the words of a gold corpus: mentions as seqeval counts them, accuracy and loss over words."""
    from craft_ray.corpora import keys_shown, read_iob, read_sentences
    from craft_ray.evaluation import evaluate_tokens as run

    sentences = read_iob(gold)
    seen = keys_shown(read_sentences(train)) if train else None
    _show_scores(run(*_model(model, precision, sentences), seen=seen), as_json)


@evaluate_app.command("documents")
def evaluate_documents(
    craft: Annotated[str, typer.Option(help="Folder of the CRAFT corpus as released: texts and Knowtator XML.")],
    ids: Annotated[
        str | None, typer.Option(help="Articles to score, a PubMed id a line.", show_default="all of the folder")
    ] = None,
    model: ModelOption = None,
    train: Seen = None,
    precision: PrecisionOption = "auto",
    as_json: Json = False,
) -> None:
    """Score the whole annotation path on raw articles against standoff mentions: exact span and label."""
    from craft_ray.corpora import keys_shown, read_craft, read_sentences
    from craft_ray.evaluation import evaluate_documents as run

    documents = read_craft(craft, ids)
    seen = keys_shown(read_sentences(train)) if train else None
    _show_scores(run(*_model(model, precision, documents), seen=seen), as_json)


@app.command()
def quantize(
    model: Annotated[str, typer.Argument(help="Folder of a checkpoint, whose config.json is written to.")],
    text: Annotated[str, typer.Option(help="IOB file, or folder of CRAFT, to measure the ranges of layers on.")],
    dev: Annotated[str, typer.Option(help="Development set on which F1 may fall by no more than 0.002.")],
    as_json: Json = False,
) -> None:
    """Let a checkpoint run in int8 on a CPU, if that does no harm. What `train` makes has had this."""
    from craft_ray.checkpoint import load_checkpoint
    from craft_ray.corpora import read_sentences
    from craft_ray.errors import RunError
    from craft_ray.quantization import MOST_LOST, quantized

    result = quantized(load_checkpoint(model), read_sentences(text), read_sentences(dev))
    exact, int8 = result.exact["f1"], result.int8["f1"]
    if not result.harmless:
        raise RunError(f"F1 falls from {exact:.4f} to {int8:.4f}, by more than {MOST_LOST}: {model} is left as it was")
    result.write(Path(model))
    print(json.dumps({"f1": exact, "f1_int8": int8}) if as_json else f"F1 {exact:.4f}, in int8 {int8:.4f}")


def _model(model: str | None, precision: str, gold: Any) -> tuple[Any, Any, Any]:
    """What an evaluation wants first: the checkpoint, gold, and the model at work."""
    from craft_ray.model import Model, Precision

    checkpoint = _checkpoint(model)
    return checkpoint, gold, Model.of(checkpoint, cast(Precision, precision))


def _checkpoint(model: str | None) -> Any:
    from craft_ray.checkpoint import load_checkpoint
    from craft_ray.settings import load_settings
    from craft_ray.storage import Storage

    chosen = load_settings(model=model)
    return load_checkpoint(chosen.model, Storage(chosen.s3).fetch)


def _show_scores(scores: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(scores))
    else:
        _print_scores(scores)


def _print_scores(scores: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("precision", "recall", "f1", "mentions"):
        table.add_column(name, justify="right")
    parts = [(f"{part} in training", scores[part]) for part in ("seen", "unseen") if scores[part]]
    for name, row in [*scores["per_label"].items(), *parts, ("all", scores)]:
        figures = (f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1"))
        table.add_row(name, *figures, f"{row['support']:,}")
    console = Console()
    console.print(table)
    confused = Table(box=None, pad_edge=False, title="what became of the mentions of each label", title_justify="left")
    columns = list(next(iter(scores["confusion"].values())))
    for column in ("", *columns):
        confused.add_column(column, justify="right" if column else "left")
    for name, cells in scores["confusion"].items():
        confused.add_row(name, *(f"{cells[column]:,}" if column in cells else "" for column in columns))
    console.print(confused)
    line = f"accuracy {scores['accuracy']:.4f}, loss {scores['loss']:.4f}, calibration error {scores['ece']:.4f}"
    if "discontinuous" in scores:
        line += f", {scores['discontinuous']:,} mentions in several pieces left out"
    console.print(line)


@app.command(
    epilog="""Example:

    craft-ray bench articles/ pubmed26n1335.xml.gz --output bench
"""
)
def bench(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Documents to measure with, repeated as needed.", metavar="INPUT...", show_default="a sample"
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for bench.json and bench.png.")] = Path("bench"),
    quick: Annotated[bool, typer.Option(help="Minutes in place of a quarter of an hour, for rough figures.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine: the model, the host path and whole jobs, and what a user would run instead.

    Rivals are a Hugging Face pipeline at its best batch size, and Ray Data's documented pattern around it. Needs
    `pip install craft-ray[bench]`, and a machine that does nothing else.
    """
    try:
        from craft_ray.bench_inputs import SAMPLE
        from craft_ray.bench_plot import plot
        from craft_ray.benchmark import Sizes, run_benchmark
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is not installed: pip install 'craft-ray[bench]'") from error

    console = Console(stderr=True)
    sizes = Sizes.quick() if quick else Sizes()
    result = run_benchmark(inputs or [str(SAMPLE)], sizes, lambda step: console.print(f"measuring {step}"))
    output.mkdir(parents=True, exist_ok=True)
    (output / "bench.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    plot(result, output / "bench.png")
    if as_json:
        print(json.dumps(result))
    else:
        _print_goals(result)


def _print_goals(result: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("what", "value", "goal", "met"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in result["goals"]:
        table.add_row(row["what"], f"{row['value']:,}", row["goal"], "yes" if row["met"] else "no")
    Console().print(table)


def main() -> NoReturn:
    """Run the command; errors of ours end as one sentence on stderr and their exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)  # until a run has handlers of its own
    sys.exit(_exit_code(app))


class _Interrupted(BaseException):
    """A signal before a run has begun; no KeyboardInterrupt, for typer answers that with an exit code of its own."""


def _interrupted(*_: object) -> NoReturn:
    raise _Interrupted


def _exit_code(run: Callable[..., Any]) -> int:
    try:
        result = run(standalone_mode=False)
    except SettingsError as error:
        return _fail(error, 2)
    except Busy as error:
        return _fail(error, 4)
    except CraftRayError as error:
        return _fail(error, 1)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except _Interrupted:
        print("craft-ray: stopped by a signal before anything was begun", file=sys.stderr)
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
