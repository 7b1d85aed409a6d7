"""`craft-ray evaluate`."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.table import Table

from craft_ray.cli.console import add_row, console
from craft_ray.cli.options import Json, ModelOption, SettingsFile

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


def evaluate_tokens(
    gold: Annotated[str, typer.Option(help="Gold corpus in IOB form.")],
    model: ModelOption = None,
    train: Seen = None,
    precision: PrecisionOption = "auto",
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Score a model on the words of a gold corpus: mentions as seqeval counts them, accuracy and loss over words."""
    from craft_ray.training.corpora import keys_shown, read_iob
    from craft_ray.training.craft import read_sentences
    from craft_ray.training.evaluation import evaluate_tokens as run

    sentences = read_iob(gold)
    seen = keys_shown(read_sentences(train)) if train else None
    _show_scores(run(*_model(model, settings, precision, sentences), seen=seen), as_json)


def evaluate_documents(
    craft: Annotated[str, typer.Option(help="Folder of the CRAFT corpus as released: texts and Knowtator XML.")],
    ids: Annotated[
        str | None, typer.Option(help="Articles to score, one PubMed id per line.", show_default="all of the folder")
    ] = None,
    model: ModelOption = None,
    train: Seen = None,
    precision: PrecisionOption = "auto",
    as_json: Json = False,
    settings: SettingsFile = None,
) -> None:
    """Score the whole annotation path on raw articles against standoff mentions: exact span and label."""
    from craft_ray.training.corpora import keys_shown
    from craft_ray.training.craft import read_craft, read_sentences
    from craft_ray.training.evaluation import evaluate_documents as run

    documents = read_craft(craft, ids)
    seen = keys_shown(read_sentences(train)) if train else None
    _show_scores(run(*_model(model, settings, precision, documents), seen=seen), as_json)


def _model(model: str | None, settings: Path | None, precision: str, gold: Any) -> tuple[Any, Any, Any]:
    """The first arguments of an evaluation: the checkpoint, gold, and the model at work."""
    from craft_ray.model.engines.engine import Precision
    from craft_ray.model.inference import Model

    checkpoint = _checkpoint(model, settings)
    return checkpoint, gold, Model.of(checkpoint, cast(Precision, precision))


def _checkpoint(model: str | None, settings: Path | None) -> Any:
    from craft_ray.core.settings import load_settings
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.storage.storage import Storage

    chosen = load_settings(settings, model=model)
    return load_checkpoint(chosen.model, Storage(chosen.s3).fetch)


def _show_scores(scores: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(scores))
    else:
        print_scores(scores)


def print_scores(scores: dict[str, Any]) -> None:
    """Scores as tables."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("precision", "recall", "f1", "mentions"):
        table.add_column(name, justify="right")
    parts = [(f"{part} in training", scores[part]) for part in ("seen", "unseen") if scores[part]]
    for name, row in [*scores["per_label"].items(), *parts, ("all", scores)]:
        figures = (f"{row[figure]:.4f}" for figure in ("precision", "recall", "f1"))
        add_row(table, name, *figures, f"{row['support']:,}")
    on = console()
    on.print(table)
    confused = Table(box=None, pad_edge=False, title="what became of the mentions of each label", title_justify="left")
    columns = list(next(iter(scores["confusion"].values())))
    for column in ("", *columns):
        confused.add_column(column, justify="right" if column else "left")
    for name, cells in scores["confusion"].items():
        add_row(confused, name, *(f"{cells[column]:,}" if column in cells else "" for column in columns))
    on.print(confused)
    line = f"accuracy {scores['accuracy']:.4f}, loss {scores['loss']:.4f}, calibration error {scores['ece']:.4f}"
    if "discontinuous" in scores:
        line += f", {scores['discontinuous']:,} mentions in several pieces left out"
    on.print(line)
