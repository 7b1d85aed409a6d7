"""int8 in a torch network: simulated, for OpenVINO to compile, and by torch's own integer kernels.

After Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference":
inputs of linear layers take 8 bits over a range that was measured once, weights 8 bits per row. OpenVINO's compiler
turns the simulation into integer kernels. Ranges are fixed, not taken from each batch, so an answer does not depend on
what else is in its batch.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from craft_ray.core.errors import SettingsError
from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.network import Network, build_network

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest input of each linear layer, by the layer's name."""


def measure_ranges(checkpoint: Checkpoint, batches: Iterable[Batch]) -> dict[str, tuple[float, float]]:
    """The range of the inputs of each linear layer but the last, over batches of text such as the model will read.

    The last layer tells labels apart by little and costs next to nothing, so it stays as it is.
    """
    network = build_network(checkpoint)
    ranges: dict[str, tuple[float, float]] = {}

    def watch(name: str) -> Any:
        def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, float(inputs[0].min())), max(high, float(inputs[0].max()))

        return hook

    names = [name for name, module in network.model.named_modules() if isinstance(module, torch.nn.Linear)]
    for name in names[:-1]:
        network.model.get_submodule(name).register_forward_pre_hook(watch(name))
    with torch.inference_mode():
        for batch in batches:
            network(torch.from_numpy(batch.token_ids), torch.from_numpy(batch.n_tokens))
    return ranges


def quantize(network: Network, ranges: Ranges) -> Network:
    """Simulate int8 in the linear layers that have a range.

    Raises SettingsError if there is no such layer.
    """
    for name, (low, high) in ranges.items():
        parent, _, own = name.rpartition(".")
        try:
            linear = network.model.get_submodule(name)
        except AttributeError as error:
            raise SettingsError(f"activation_ranges name {name}, which the model does not have") from error
        setattr(network.model.get_submodule(parent), own, QuantizedLinear(linear, low, high))
    return network


class QuantizedLinear(torch.nn.Module):
    """A linear layer whose inputs take 256 values over a range, and whose weights 255 a row, symmetric about zero."""

    def __init__(self, linear: Any, low: float, high: float) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        low, high = min(low, 0.0), max(high, 0.0, 1e-6)
        self.scale = (high - low) / 255
        self.zero = round(-low / self.scale)
        self.row_scale = self.weight.abs().amax(1).clamp(min=1e-8) / 127
        self.row_zero = torch.zeros(len(self.weight), dtype=torch.int32)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Multiply what 8 bits keep of inputs and weights."""
        inputs = torch.fake_quantize_per_tensor_affine(inputs, self.scale, self.zero, 0, 255)
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.row_scale, self.row_zero, 0, -127, 127)
        return torch.nn.functional.linear(inputs, weight, self.bias)
