"""BERT over packed windows: linear layers see no padding, and attention stays within each window.

Parameters have the names that transformers gives them, and in fp32 the answers are transformers' own but for the order
of sums (`tests/model/engines/test_packed.py`).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from craft_ray.model.batches import STEP
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.network import Predictions, best_labels, to_tensor

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Any], torch.Tensor]
"""Queries, keys and values, each (tokens, heads, width), and a layout, to their attention in the same shape."""

_ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}


def can_pack(checkpoint: Checkpoint) -> bool:
    """True for a BERT as `PackedBert` computes it; other networks are transformers' own."""
    config = checkpoint.config
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") in _ACTIVATIONS
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and "classifier.weight" in checkpoint.weights
    )


class PackedBert(torch.nn.Module):
    """Token ids and places in their windows (tokens,), both int32, and the attention's layout, to `Predictions`."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, attention: Attention) -> None:
        super().__init__()
        config = checkpoint.config
        weights = {name: to_tensor(array, dtype) for name, array in checkpoint.weights.items()}
        self.heads = int(config["num_attention_heads"])
        self.epsilon = float(config.get("layer_norm_eps", 1e-12))
        self.activation = _ACTIVATIONS[config.get("hidden_act", "gelu")]
        self.attention = attention
        self.embeddings = _frozen(
            {
                "words": weights["bert.embeddings.word_embeddings.weight"],
                "segment": weights["bert.embeddings.token_type_embeddings.weight"][0],
                "places": weights["bert.embeddings.position_embeddings.weight"],
                "norm": weights["bert.embeddings.LayerNorm.weight"],
                "norm_bias": weights["bert.embeddings.LayerNorm.bias"],
            }
        )
        self.layers = torch.nn.ModuleList(
            _frozen(_layer(weights, f"bert.encoder.layer.{number}.")) for number in range(config["num_hidden_layers"])
        )
        self.classifier = _frozen({"weight": weights["classifier.weight"], "bias": weights["classifier.bias"]})

    def forward(self, token_ids: torch.Tensor, place: torch.Tensor, layout: Any) -> Predictions:
        """Labels, scores and logits, each with one row per token."""
        given = self.embeddings
        hidden = functional.embedding(token_ids, given["words"]) + given["segment"]
        hidden = self._norm(hidden + functional.embedding(place, given["places"]), given["norm"], given["norm_bias"])
        for layer in self.layers:
            hidden = self._layer(hidden, layer, layout)
        logits = functional.linear(hidden, self.classifier["weight"], self.classifier["bias"])
        return best_labels(logits.float())

    def _layer(self, hidden: torch.Tensor, layer: Any, layout: Any) -> torch.Tensor:
        joined = functional.linear(hidden, layer["query_key_value"], layer["query_key_value_bias"])
        query, key, value = joined.view(len(hidden), 3, self.heads, -1).unbind(1)
        attended = self.attention(query, key, value, layout).reshape(len(hidden), -1)
        attended = functional.linear(attended, layer["attended"], layer["attended_bias"])
        hidden = self._norm(attended + hidden, layer["attended_norm"], layer["attended_norm_bias"])
        wide = self.activation(functional.linear(hidden, layer["wide"], layer["wide_bias"]))
        narrow = functional.linear(wide, layer["narrow"], layer["narrow_bias"])
        return self._norm(narrow + hidden, layer["narrow_norm"], layer["narrow_norm_bias"])

    def _norm(self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(hidden, weight.shape, weight, bias, self.epsilon)


def _layer(weights: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The parameters of one layer by short names; queries, keys and values are computed by one product."""
    found = {}
    parts = [f"{prefix}attention.self.{part}" for part in ("query", "key", "value")]
    named = {
        "attended": "attention.output.dense",
        "attended_norm": "attention.output.LayerNorm",
        "wide": "intermediate.dense",
        "narrow": "output.dense",
        "narrow_norm": "output.LayerNorm",
    }
    for kind, ending in (("weight", ""), ("bias", "_bias")):
        found[f"query_key_value{ending}"] = torch.cat([weights[f"{part}.{kind}"] for part in parts])
        found |= {name + ending: weights[f"{prefix}{theirs}.{kind}"] for name, theirs in named.items()}
    return found


def _frozen(tensors: Mapping[str, torch.Tensor]) -> torch.nn.ParameterDict:
    return torch.nn.ParameterDict({n: torch.nn.Parameter(t, requires_grad=False) for n, t in tensors.items()})


def attend_flash(longest: int) -> Attention:
    """Attention of a GPU in fp16 or bf16, over windows of any length at once; the layout is `PackedBatch.edges`.

    longest: tokens of the longest window that there can be
    """
    from torch.nn.attention.varlen import varlen_attn

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        # With one split a window's answer has the same bits whatever windows are beside it.
        return varlen_attn(query, key, value, edges, edges, longest, longest, num_splits=1)  # type: ignore[return-value]

    return attend


def can_flash(checkpoint: Checkpoint, dtype: torch.dtype, capability: tuple[int, int]) -> bool:
    """True where a GPU of this capability has kernels for `attend_flash`."""
    width = int(checkpoint.config["hidden_size"]) // int(checkpoint.config["num_attention_heads"])
    return dtype in (torch.float16, torch.bfloat16) and capability >= (8, 0) and width % 8 == 0 and width <= 256


class SameLength(NamedTuple):
    """Windows of one padded length.

    tokens: (rows, length) where each token stands; padding repeats the window's first one, int64
    inside: (rows, length) which are no padding, bool
    source: (own,)         where the others stand in `tokens`, flat, int64
    target: (own,)         where they stand in the batch, int64
    """

    tokens: Any
    inside: Any
    source: Any
    target: Any


def attend_by_length(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Sequence[SameLength]
) -> torch.Tensor:
    """Attention of any device and format: windows of one padded length at once; the layout is `layout_of`'s."""
    attended = torch.zeros_like(query)
    scale = 1 / math.sqrt(query.shape[-1])
    for tokens, inside, source, target in layout:
        own_query, own_key, own_value = (part[tokens].transpose(1, 2) for part in (query, key, value))
        mask = inside[:, None, None, :]
        found = functional.scaled_dot_product_attention(own_query, own_key, own_value, attn_mask=mask, scale=scale)
        attended.index_copy_(0, target, found.transpose(1, 2).flatten(0, 1).index_select(0, source))
    return attended


def layout_of(edges: NDArray[np.int32], device: str) -> list[SameLength]:
    """The layout of `attend_by_length` on a device. A window's own length decides its padded one."""
    lengths = np.diff(edges)
    padded = -(-lengths // STEP) * STEP
    layout = []
    for length in np.unique(padded).tolist():
        own = np.flatnonzero(padded == length)
        column = np.arange(length)
        inside = column < lengths[own, None]
        tokens = np.where(inside, edges[own, None] + column, edges[own, None]).astype(np.int64)
        arrays = tokens, inside, np.flatnonzero(inside), tokens[inside]
        layout.append(SameLength(*(torch.from_numpy(array).to(device, non_blocking=True) for array in arrays)))
    return layout
