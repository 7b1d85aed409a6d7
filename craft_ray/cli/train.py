"""`craft-ray train`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from craft_ray.cli.console import console, print_status
from craft_ray.cli.evaluate import print_scores
from craft_ray.cli.model_options import options_from
from craft_ray.cli.options import Json, SettingsFile
from craft_ray.core.errors import SettingsError
from craft_ray.core.packages import require
from craft_ray.training.recipe import Recipe, TrainingFile, read_training_file

if TYPE_CHECKING:
    from craft_ray.training.corpora import Corpus

EXAMPLES = """Examples:

    craft-ray train --train train.tsv --dev devel.tsv --base dmis-lab/biobert-base-cased-v1.2 --output biobert-craft

    craft-ray train --train viruses.pubtator --dev-share 0.1 --labels labels.yaml --base craft --output viruses

    craft-ray train --recipe recipe.yaml --output model

    craft-ray train --train CRAFT --train-ids train.txt --dev CRAFT --dev-ids dev.txt --base DIR --output s3://bucket/model
"""


@options_from(TrainingFile, panel="Corpora")
@options_from(Recipe, panel="Recipe")
def train(
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder for the checkpoint and its card, on disk or s3://.")
    ],
    recipe: Annotated[
        Path | None, typer.Option(help="YAML file of corpora, base and recipe; options given here go before it.")
    ] = None,
    auxiliary: Annotated[
        list[str] | None,
        typer.Option(help="IOB file or folder of IOB files, with labels of its own, to learn from first; repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that train together, one per GPU.")] = 1,
    accumulate: Annotated[int, typer.Option(help="Parts in which a worker computes each step, to save memory.")] = 1,
    as_json: Json = False,
    settings: SettingsFile = None,
    **chosen: Any,
) -> None:
    """Fine-tune an encoder on CRAFT. The defaults are the published CRAFT card's.

    Killed at any moment and run again, it goes on from the last epoch.
    """
    for package in ("torch", "transformers", "accelerate"):
        require(package, "training")  # told before Ray starts
    from craft_ray.cli.console import step_progress
    from craft_ray.core.descriptions import read_descriptions
    from craft_ray.core.settings import load_settings
    from craft_ray.training.corpora import Corpus
    from craft_ray.training.gold import read_sentences
    from craft_ray.training.train import train as run
    from craft_ray.training.trainer import TrainingListener

    def corpus(path: str, ids: str | None = None) -> Corpus:
        return Corpus("/".join(Path(path).resolve().parts[-2:]), read_sentences(path, ids))

    file = read_training_file(recipe) if recipe else TrainingFile()
    given = chosen | {"swap": _shares(chosen["swap"]), "auxiliary": auxiliary or None}
    wanted = file.with_options({name: value for name, value in given.items() if value is not None})
    trained_on, measured_on = _corpora(wanted, corpus)
    described = read_descriptions(wanted.labels) if wanted.labels else {}
    on = console(stderr=True)

    class Shown(TrainingListener):
        """Shows steps as they come, and a line of figures after each epoch."""

        def __init__(self, show: Callable[[int, int], None]) -> None:
            self._show = show

        def on_step(self, step: int, steps: int) -> None:
            self._show(step, steps)

        def on_epoch(self, rows: list[dict[str, float]], checkpoint: Path | None) -> None:
            print_status(on, _epoch_line(rows[-1]))

    with step_progress(on) as show:
        trained = run(
            trained_on,
            measured_on,
            wanted.given("base"),
            output,
            wanted.recipe,
            auxiliary=[corpus(path) for path in wanted.auxiliary],
            labels=described,
            workers=workers,
            accumulate=accumulate,
            settings=load_settings(settings),
            listener=Shown(show),
        )
    if as_json:
        print(json.dumps({**trained.scores, "epochs": trained.rows, "output": output}))
    else:
        print_scores(dict(trained.scores))
        print(output)


def _epoch_line(row: dict[str, float]) -> str:
    """An epoch's figures on the corpus to measure on."""
    figures = ", ".join(f"{name} {row[key]:.4f}" for name, key in (("F1", "f1"), ("P", "precision"), ("R", "recall")))
    return f"epoch {row['epoch']:g}: {figures}, loss {row['loss']:.4f}; training loss {row['training_loss']:.4f}"


def _corpora(wanted: TrainingFile, read: Callable[[str, str | None], "Corpus"]) -> tuple["Corpus", "Corpus"]:
    """The corpus to train on and the one to measure on, which may be a share of the first.

    Raises SettingsError if one is missing, or the second is given in both ways.
    """
    from craft_ray.training.corpora import split

    if wanted.dev_share is not None and wanted.dev is not None:
        raise SettingsError("--dev and --dev-share both say what to measure on: give one of them")
    train = read(wanted.given("train"), wanted.train_ids)
    if wanted.dev_share is None:
        return train, read(wanted.given("dev"), wanted.dev_ids)
    return split(train, wanted.dev_share, wanted.recipe.seed)


def _shares(pairs: list[str] | None) -> dict[str, float] | None:
    """`["Protein=0.4"]` as labels with shares.

    Raises SettingsError if a pair is none.
    """
    shares: dict[str, float] = {}
    for text in pairs or ():
        label, _, share = text.partition("=")
        try:
            shares[label] = float(share)
        except ValueError:
            shares[label] = -1.0
        if not label or not 0 <= shares[label] <= 1:
            raise SettingsError(f"--swap {text}: give a label and a share from 0 to 1, as Protein=0.4")
    return shares or None
