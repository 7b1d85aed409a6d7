"""`craft-ray train` and `craft-ray quantize`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast

import typer
from rich.console import Console

from craft_ray.cli.evaluate import print_scores
from craft_ray.cli.options import Json
from craft_ray.core.errors import SettingsError

EXAMPLES = """Examples:

    craft-ray train --train train.tsv --dev devel.tsv --base dmis-lab/biobert-base-cased-v1.2 --output biobert-craft

    craft-ray train --train CRAFT --train-ids train.txt --dev CRAFT --dev-ids dev.txt --base DIR --output s3://bucket/model
"""


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
    max_steps: Annotated[int, typer.Option(help="StopRequest after so many steps; -1 for all.")] = -1,
    workers: Annotated[int, typer.Option(help="Processes that train together, one a GPU.")] = 1,
    accumulate: Annotated[int, typer.Option(help="Parts in which a worker computes a step, to save memory.")] = 1,
    as_json: Json = False,
) -> None:
    """Fine-tune an encoder on CRAFT. The defaults are the published CRAFT card's.

    Killed at any moment and run again, it goes on from the last epoch.
    """
    from craft_ray.cli.console import steps_shown
    from craft_ray.core.settings import load_settings
    from craft_ray.training.corpora import Corpus
    from craft_ray.training.craft import read_sentences
    from craft_ray.training.recipe import Recipe
    from craft_ray.training.train import train as run

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
        print_scores(dict(trained.scores))
        print(output)


def _shares(given: Sequence[str]) -> dict[str, float]:
    """`Protein=0.4` as a label and a share."""
    from craft_ray.core.labels import LABELS

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


def quantize(
    model: Annotated[str, typer.Argument(help="Folder of a checkpoint, whose config.json is written to.")],
    text: Annotated[str, typer.Option(help="IOB file, or folder of CRAFT, to measure the ranges of layers on.")],
    dev: Annotated[str, typer.Option(help="Development set on which F1 may fall by no more than 0.002.")],
    as_json: Json = False,
) -> None:
    """Let a checkpoint run in int8 on a CPU, if that does no harm. What `train` makes has had this."""
    from craft_ray.core.errors import RunError
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.training.craft import read_sentences
    from craft_ray.training.quantization import MOST_LOST, quantized

    result = quantized(load_checkpoint(model), read_sentences(text), read_sentences(dev))
    exact, int8 = result.exact["f1"], result.int8["f1"]
    if not result.harmless:
        raise RunError(f"F1 falls from {exact:.4f} to {int8:.4f}, by more than {MOST_LOST}: {model} is left as it was")
    result.write(Path(model))
    print(json.dumps({"f1": exact, "f1_int8": int8}) if as_json else f"F1 {exact:.4f}, in int8 {int8:.4f}")
