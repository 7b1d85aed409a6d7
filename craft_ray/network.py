"""A checkpoint as a torch network that ends in labels and scores, and its int8 form.

int8 is simulated here (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference"): inputs of linear layers in 8 bits over a range that was measured once, weights in 8
bits a row. OpenVINO's compiler turns the simulation into integer kernels. Ranges are fixed, not taken from each batch,
so an answer does not depend on what else is in its batch.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.batches import Batch
from craft_ray.checkpoint import Checkpoint
from craft_ray.errors import SettingsError

Ranges = Mapping[str, tuple[float, float]]
"""Lowest and highest input of each linear layer, by the layer's name."""


class Answers(NamedTuple):
    """Each token's best label (int8), its probability, both (rows, length), and logits (rows, length, labels)."""

    label: torch.Tensor
    score: torch.Tensor
    logits: torch.Tensor


class Network(torch.nn.Module):
    """Token ids (rows, length) and tokens a row (rows,), both int32, to `Answers`."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, token_ids: torch.Tensor, n_tokens: torch.Tensor) -> Answers:
        """Attend to all but padding."""
        column = torch.arange(token_ids.shape[1], dtype=torch.int32, device=token_ids.device)
        mask = (column[None, :] < n_tokens[:, None]).to(torch.int64)
        logits = self.model(input_ids=token_ids, attention_mask=mask).logits.float()
        best = logits.softmax(-1).max(-1)
        return Answers(best.indices.to(torch.int8), best.values, logits)


def build_network(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Network:
    """The checkpoint's network with weights of one type, for inference."""
    from transformers import AutoConfig, AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_config(AutoConfig.for_model(**checkpoint.config))
    model.load_state_dict({name: _tensor(array, dtype) for name, array in checkpoint.weights.items()}, assign=True)
    return Network(model.to(dtype=dtype).eval().requires_grad_(False))


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


def _tensor(array: NDArray[np.generic], dtype: torch.dtype) -> torch.Tensor:
    """An array as a tensor, in place where the type allows: replicas of a node share the object store's pages."""
    with warnings.catch_warnings():
        # Arrays out of the object store are read-only, of which torch warns; inference never writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
