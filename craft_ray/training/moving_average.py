"""An exponential moving average of the weights during training (Polyak and Juditsky 1992)."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import get_last_checkpoint

AVERAGED_FILE = "averaged.safetensors"
"""File of the averaged weights in a checkpoint of the training."""


class MovingAverage(TrainerCallback):  # type: ignore[misc]  # transformers is not checked
    """Updates the average after each step, and saves it with each checkpoint.

    factor: share of the average that is kept at a step; less in the first steps, to forget the initial weights soon
    folder: where the trainer writes its checkpoints
    resume: checkpoint to resume from
    """

    def __init__(self, model: torch.nn.Module, factor: float, folder: str, resume: str | None) -> None:
        self.model = model
        self.factor = factor
        self.folder = folder
        self.average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if resume is not None:
            self.average = load_file(Path(resume) / AVERAGED_FILE)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not state.is_world_process_zero:
            return  # all processes have equal weights
        step = state.global_step
        share = 1 - min(self.factor, step / (step + 9))
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                self.average[name] = self.average[name].to(tensor.device).lerp(tensor.float(), share)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.is_world_process_zero and (last := get_last_checkpoint(self.folder)):
            save_file({name: t.contiguous() for name, t in self.average.items()}, Path(last) / AVERAGED_FILE)
