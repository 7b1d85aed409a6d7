"""An exponential moving average of the weights while they are trained (Polyak and Juditsky 1992)."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import get_last_checkpoint

AVERAGED_FILE = "averaged.safetensors"
"""The average, beside the weights of a training's checkpoint."""


class MovingAverage(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
    """Averages the weights after each step and keeps the average in each checkpoint.

    model:  the network that is trained
    factor: share of the average that stays at a step; the first steps keep less, so that the start is soon forgotten
    folder: where the checkpoints are written
    resume: a checkpoint from which to go on
    """

    def __init__(self, model: torch.nn.Module, factor: float, folder: str, resume: str | None) -> None:
        self.model = model
        self.factor = factor
        self.folder = folder
        self.average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if resume is not None:
            self.average = load_file(Path(resume) / AVERAGED_FILE)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Move the average towards the weights; one process does it for all, whose weights are equal."""
        if not state.is_world_process_zero:
            return
        step = state.global_step
        share = 1 - min(self.factor, step / (step + 9))
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                self.average[name] = self.average[name].to(tensor.device).lerp(tensor.float(), share)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write the average into the checkpoint."""
        if state.is_world_process_zero and (last := get_last_checkpoint(self.folder)):
            save_file({name: t.contiguous() for name, t in self.average.items()}, Path(last) / AVERAGED_FILE)
