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
from craft_ray.core.labels import LABELS
from craft_ray.core.validation import validated
from craft_ray.training.recipe import Recipe

EXAMPLES = """Examples:

    craft-ray train --train train.tsv --dev devel.tsv --base dmis-lab/biobert-base-cased-v1.2 --output biobert-craft

    craft-ray train --train CRAFT --train-ids train.txt --dev CRAFT --dev-ids dev.txt --base DIR --output s3://bucket/model
"""


@takes(Recipe, panel="Recipe")
def train(
    train: Annotated[str, typer.Option(help="Corpus to train on: an IOB file, or a folder of CRAFT as released.")],
    dev: Annotated[str, typer.Option(help="Corpus to measure on after each epoch, in either form.")],
    base: Annotated[str, typer.Option(help="Encoder to start from: a folder or a Hugging Face id.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder for the checkpoint and its card, on disk or s3://.")
    ],
    train_ids: Annotated[str | None, typer.Option(help="Articles of CRAFT to train on, one id per line.")] = None,
    dev_ids: Annotated[str | None, typer.Option(help="Articles of CRAFT to measure on, one id per line.")] = None,
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
    from craft_ray.training.craft import read_sentences
    from craft_ray.training.train import train as run

    def corpus(path: str, ids: str | None = None) -> Corpus:
        return Corpus("/".join(Path(path).resolve().parts[-2:]), read_sentences(path, ids))

    shares = _shares(chosen.pop("swap"))
    recipe = validated(
        Recipe, {name: value for name, value in (chosen | {"swap": shares}).items() if value is not None}
    )
    with steps_shown(console(stderr=True)) as on_step:
        trained = run(
            corpus(train, train_ids),
            corpus(dev, dev_ids),
            base,
            output,
            recipe,
            auxiliary=[corpus(path) for path in auxiliary or ()],
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

    Raises SettingsError if a pair is none, or its label is none of the six.
    """
    shares: dict[str, float] = {}
    for text in pairs or ():
        label, _, share = text.partition("=")
        try:
            shares[label] = float(share)
        except ValueError:
            shares[label] = -1.0
        if label not in {known.name for known in LABELS} or not 0 <= shares[label] <= 1:
            raise SettingsError(f"--swap {text}: give one of the six labels and a share from 0 to 1, as Protein=0.4")
    return shares or None
