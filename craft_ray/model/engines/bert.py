"""BERT for token classification in torch over packed windows, whose linear layers see no padding.

Its results are those of transformers' network, up to the order of sums.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from craft_ray.model.batches import padded_length
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.network import Output, best_labels, to_tensor

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Any], torch.Tensor]
"""Maps queries, keys and values, each (tokens, heads, width), and a layout of windows to the attention's output."""

_PRODUCTS = {
    "query_key_value": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attended": ("attention.output.dense",),
    "wide": ("intermediate.dense",),
    "narrow": ("output.dense",),
}
"""Matrix products of a layer, by transformers' names: queries, keys and values are computed by a single one."""

_NORMS = {"attended": "attention.output.LayerNorm", "narrow": "output.LayerNorm"}


class Bert(torch.nn.Module):
    """Maps token ids and position ids, both int32 (tokens,), and the attention's layout to `Output`."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, attention: Attention) -> None:
        super().__init__()
        config = checkpoint.config
        weights = {name: to_tensor(array, dtype) for name, array in checkpoint.weights.items()}
        self.heads = int(config["num_attention_heads"])
        self.epsilon = float(config.get("layer_norm_eps", 1e-12))
        self.attention = attention
        self.groups = checkpoint.tags.groups
        self.words, self.positions, segments = (
            _frozen(weights[f"bert.embeddings.{kind}_embeddings.weight"]) for kind in ("word", "position", "token_type")
        )
        self.segment = _frozen(segments[0])
        self.norms = torch.nn.ParameterDict({"embedded": _frozen(weights["bert.embeddings.LayerNorm.weight"])})
        self.norm_biases = torch.nn.ParameterDict({"embedded": _frozen(weights["bert.embeddings.LayerNorm.bias"])})
        self.layers = torch.nn.ModuleList()
        for number in range(config["num_hidden_layers"]):
            prefix = f"bert.encoder.layer.{number}."
            products = {own: [prefix + part for part in parts] for own, parts in _PRODUCTS.items()}
            layer = {own: _linear(weights, names) for own, names in products.items()}
            self.layers.append(torch.nn.ModuleDict(layer))
            for own, theirs in _NORMS.items():
                self.norms[f"{own}{number}"] = _frozen(weights[f"{prefix}{theirs}.weight"])
                self.norm_biases[f"{own}{number}"] = _frozen(weights[f"{prefix}{theirs}.bias"])
        self.classifier = _linear(weights, ("classifier",))

    def forward(self, token_ids: torch.Tensor, position_ids: torch.Tensor, layout: Any) -> Output:
        hidden = functional.embedding(token_ids, self.words) + self.segment
        hidden = self._norm(hidden + functional.embedding(position_ids, self.positions), "embedded")
        for number, layer in enumerate(self.layers):
            joined = layer["query_key_value"](hidden)  # type: ignore[index]
            query, key, value = joined.unflatten(-1, (3, self.heads, -1)).unbind(-3)
            attended = self.attention(query, key, value, layout).flatten(-2)
            hidden = self._norm(layer["attended"](attended) + hidden, f"attended{number}")  # type: ignore[index]
            wide = functional.gelu(layer["wide"](hidden))  # type: ignore[index]
            hidden = self._norm(layer["narrow"](wide) + hidden, f"narrow{number}")  # type: ignore[index]
        return best_labels(self.classifier(hidden).float(), self.groups)

    def _norm(self, hidden: torch.Tensor, name: str) -> torch.Tensor:
        weight = self.norms[name]
        return functional.layer_norm(hidden, weight.shape, weight, self.norm_biases[name], self.epsilon)


def _linear(weights: Mapping[str, torch.Tensor], names: Sequence[str]) -> torch.nn.Linear:
    """One linear layer for several that have the same input."""
    weight, bias = (torch.cat([weights[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias"))
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = _frozen(weight), _frozen(bias)
    return linear


def _frozen(tensor: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor, requires_grad=False)


def can_flash(checkpoint: Checkpoint, dtype: torch.dtype, capability: tuple[int, int]) -> bool:
    """True if a GPU of this compute capability has kernels for `attend_flash`."""
    width = int(checkpoint.config["hidden_size"]) // int(checkpoint.config["num_attention_heads"])
    return dtype in (torch.float16, torch.bfloat16) and capability >= (8, 0) and width % 8 == 0 and width <= 256


def attend_flash(longest: int) -> Attention:
    """Variable-length attention on a GPU in fp16 or bf16. Its layout is `PackedBatch.offsets`.

    longest: tokens of the longest possible window
    """
    from torch.nn.attention.varlen import varlen_attn

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        # With one split, a window's result has the same bits in any batch.
        return varlen_attn(query, key, value, offsets, offsets, longest, longest, num_splits=1)  # type: ignore[return-value]

    return attend


class SameLength(NamedTuple):
    """The windows of a packed batch that have one padded length.

    tokens: (rows, length) index of each token in the batch; padding repeats the window's first token, int64
    inside: (rows, length) false for padding
    source: (real,)        flat indices into `tokens`, without padding
    target: (real,)        their indices in the batch
    """

    tokens: Any
    inside: Any
    source: Any
    target: Any


def attend_by_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Sequence[SameLength]
) -> torch.Tensor:
    """Attention for any device and format, one padded length after the other. Its layout comes from `layout_of`."""
    attended = torch.zeros_like(query)
    for tokens, inside, source, target in layout:
        q, k, v = (part[tokens].transpose(-3, -2) for part in (query, key, value))
        rows = functional.scaled_dot_product_attention(q, k, v, attn_mask=inside[:, None, None, :]).transpose(-3, -2)
        attended.index_copy_(0, target, rows.flatten(0, 1).index_select(0, source))
    return attended


def layout_of(offsets: NDArray[np.int32], device: str) -> list[SameLength]:
    """Group the windows of a packed batch by padded length, as tensors on a device."""
    lengths = np.diff(offsets)
    padded = padded_length(lengths)
    layout = []
    for length in np.unique(padded).tolist():
        rows = np.flatnonzero(padded == length)
        column = np.arange(length)
        inside = column < lengths[rows, None]
        tokens = np.where(inside, offsets[rows, None] + column, offsets[rows, None]).astype(np.int64)
        arrays = tokens, inside, np.flatnonzero(inside), tokens[inside]
        layout.append(SameLength(*(torch.from_numpy(array).to(device, non_blocking=True) for array in arrays)))
    return layout
