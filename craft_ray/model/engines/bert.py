"""BERT for token classification in torch, over windows laid out in any way: padded or packed.

Its answers are those of transformers' network but for the order of sums.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.network import Predictions, best_labels, to_tensor

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Any], torch.Tensor]
"""Queries, keys and values, each (..., heads, width), and a layout, to their attention in the same shape."""

_ACTIVATIONS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}

_PRODUCTS = {
    "query_key_value": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attended": ("attention.output.dense",),
    "wide": ("intermediate.dense",),
    "narrow": ("output.dense",),
}
"""The linear layers of each layer, and transformers' names for their parts: one product computes all three at once."""

_NORMS = {"attended": "attention.output.LayerNorm", "narrow": "output.LayerNorm"}


def is_bert(checkpoint: Checkpoint) -> bool:
    """True for a BERT as `Bert` computes it; other networks are transformers' own."""
    config = checkpoint.config
    return (
        config.get("model_type") == "bert"
        and config.get("hidden_act", "gelu") in _ACTIVATIONS
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
        and "classifier.weight" in checkpoint.weights
    )


class Bert(torch.nn.Module):
    """Token ids, their places in their windows, both int32 and (...), and the attention's layout, to `Predictions`."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype, attention: Attention) -> None:
        super().__init__()
        config = checkpoint.config
        weights = {name: to_tensor(array, dtype) for name, array in checkpoint.weights.items()}
        self.heads = int(config["num_attention_heads"])
        self.epsilon = float(config.get("layer_norm_eps", 1e-12))
        self.activation = _ACTIVATIONS[config.get("hidden_act", "gelu")]
        self.attention = attention
        self.words, self.places, segments = (
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

    def forward(self, token_ids: torch.Tensor, place: torch.Tensor, layout: Any) -> Predictions:
        """Labels, scores and logits of each token."""
        hidden = functional.embedding(token_ids, self.words) + self.segment
        hidden = self._norm(hidden + functional.embedding(place, self.places), "embedded")
        for number, layer in enumerate(self.layers):
            joined = layer["query_key_value"](hidden)  # type: ignore[index]
            query, key, value = joined.unflatten(-1, (3, self.heads, -1)).unbind(-3)
            attended = self.attention(query, key, value, layout).flatten(-2)
            hidden = self._norm(layer["attended"](attended) + hidden, f"attended{number}")  # type: ignore[index]
            wide = self.activation(layer["wide"](hidden))  # type: ignore[index]
            hidden = self._norm(layer["narrow"](wide) + hidden, f"narrow{number}")  # type: ignore[index]
        return best_labels(self.classifier(hidden).float())

    def _norm(self, hidden: torch.Tensor, name: str) -> torch.Tensor:
        weight = self.norms[name]
        return functional.layer_norm(hidden, weight.shape, weight, self.norm_biases[name], self.epsilon)


def attend_padded(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Attention over rows; the layout is which tokens are no padding, (rows, length), bool."""
    own_query, own_key, own_value = (part.transpose(-3, -2) for part in (query, key, value))
    mask = inside[:, None, None, :]
    found = functional.scaled_dot_product_attention(own_query, own_key, own_value, attn_mask=mask)
    return found.transpose(-3, -2)


def _linear(weights: Mapping[str, torch.Tensor], names: Sequence[str]) -> torch.nn.Linear:
    """One linear layer for several that read the same."""
    weight, bias = (torch.cat([weights[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias"))
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = _frozen(weight), _frozen(bias)
    return linear


def _frozen(tensor: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor, requires_grad=False)
