"""`craft-ray quantize`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from craft_ray.cli.options import Json


def quantize(
    model: Annotated[str, typer.Argument(help="Folder of a checkpoint, whose config.json is changed.")],
    text: Annotated[str, typer.Option(help="IOB file, or folder of CRAFT, to measure the ranges of layers on.")],
    dev: Annotated[str, typer.Option(help="Development set on which F1 may fall by no more than 0.002.")],
    as_json: Json = False,
) -> None:
    """Let a checkpoint run in int8 on a CPU, if that does no harm. `train` does this for its checkpoints."""
    from craft_ray.core.errors import RunError
    from craft_ray.model.loading import load_checkpoint
    from craft_ray.training.gold import read_sentences
    from craft_ray.training.quantization import MAX_F1_LOSS, quantized

    result = quantized(load_checkpoint(model), read_sentences(text), read_sentences(dev))
    exact, int8 = result.exact["f1"], result.int8["f1"]
    if not result.harmless:
        raise RunError(f"F1 falls from {exact:.4f} to {int8:.4f}, by more than {MAX_F1_LOSS}: {model} is not changed")
    result.write(Path(model))
    print(json.dumps({"f1": exact, "f1_int8": int8}) if as_json else f"F1 {exact:.4f}, in int8 {int8:.4f}")
