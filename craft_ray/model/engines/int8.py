"""int8 for linear layers: measured input ranges, and simulated quantization that OpenVINO compiles to integer kernels.

After Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference":
inputs are quantized to 8 bits over a fixed range, weights to 8 bits per row. Because ranges are fixed rather than taken
from each batch, a result does not depend on the rest of its batch.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from craft_ray.core.errors import SettingsError
from craft_ray.model.batches import Batch
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.network import Network, build_network


def measure_ranges(checkpoint: Checkpoint, batches: Iterable[Batch]) -> dict[str, tuple[float, float]]:
    """Lowest and highest input of each linear layer, by name, over representative batches.

    The last layer is left out: it separates labels by small margins and costs almost no time.
    """
    network = build_network(checkpoint)
    ranges: dict[str, tuple[float, float]] = {}

    def observe(name: str) -> Any:
        def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, float(inputs[0].min())), max(high, float(inputs[0].max()))

        return hook

    names = [name for name, module in network.model.named_modules() if isinstance(module, torch.nn.Linear)]
    for name in names[:-1]:
        network.model.get_submodule(name).register_forward_pre_hook(observe(name))
    with torch.inference_mode():
        for batch in batches:
            network(torch.from_numpy(batch.token_ids), torch.from_numpy(batch.n_tokens))
    return ranges


def quantize(network: Network, ranges: Mapping[str, tuple[float, float]]) -> Network:
    """Replace the linear layers that have a range by `QuantizedLinear`, in place.

    Raises SettingsError if the network has no layer of that name.
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
    """A linear layer with inputs rounded to 256 values over a range, and weights to 255 values per row around zero."""

    def __init__(self, linear: Any, low: float, high: float) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        low, high = min(low, 0.0), max(high, 0.0, 1e-6)
        self.scale = (high - low) / 255
        self.zero = round(-low / self.scale)
        self.row_scale = self.weight.abs().amax(1).clamp(min=1e-8) / 127
        self.row_zero = torch.zeros(len(self.weight), dtype=torch.int32)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inputs = torch.fake_quantize_per_tensor_affine(inputs, self.scale, self.zero, 0, 255)
        weight = torch.fake_quantize_per_channel_affine(self.weight, self.row_scale, self.row_zero, 0, -127, 127)
        return torch.nn.functional.linear(inputs, weight, self.bias)
