"""`craft-ray train`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from craft_ray.cli.console import console
from craft_ray.cli.described import takes
from craft_ray.cli.evaluate import print_scores
from craft_ray.cli.options import Json, SettingsFile
from craft_ray.core.errors import SettingsError
from craft_ray.training.recipe import Recipe, TrainingFile, read_training_file

EXAMPLES = """Examples:

    craft-ray train --train train.tsv --dev devel.tsv --base dmis-lab/biobert-base-cased-v1.2 --output biobert-craft

    craft-ray train --recipe recipe.yaml --output model

    craft-ray train --train CRAFT --train-ids train.txt --dev CRAFT --dev-ids dev.txt --base DIR --output s3://bucket/model
"""


@takes(TrainingFile, panel="Corpora")
@takes(Recipe, panel="Recipe")
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
    from craft_ray.cli.console import steps_shown
    from craft_ray.core.settings import load_settings
    from craft_ray.training.corpora import Corpus
    from craft_ray.training.gold import read_sentences
    from craft_ray.training.train import train as run

    def corpus(path: str, ids: str | None = None) -> Corpus:
        return Corpus("/".join(Path(path).resolve().parts[-2:]), read_sentences(path, ids))

    file = read_training_file(recipe) if recipe else TrainingFile()
    given = chosen | {"swap": _shares(chosen["swap"]), "auxiliary": auxiliary or None}
    wanted = file.with_options({name: value for name, value in given.items() if value is not None})
    with steps_shown(console(stderr=True)) as on_step:
        trained = run(
            corpus(wanted.given("train"), wanted.train_ids),
            corpus(wanted.given("dev"), wanted.dev_ids),
            wanted.given("base"),
            output,
            wanted.recipe,
            auxiliary=[corpus(path) for path in wanted.auxiliary],
            workers=workers,
            accumulate=accumulate,
            settings=load_settings(settings),
            on_step=on_step,
        )
    if as_json:
        print(json.dumps({**trained.scores, "epochs": trained.rows, "output": output}))
    else:
        print_scores(dict(trained.scores))
        print(output)


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
