"""Build the OpenVINO graph of a BERT directly from its weights, without torch and transformers.

The operations are those that OpenVINO's converter produces from transformers' BERT, so both graphs give the same bits
in fp32 and int8. In bf16 they do not, because the two are fused differently.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.errors import SettingsError
from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.engine import is_bert

_LAYER = "bert.encoder.layer"

_REQUIRED = {"hidden_size", "layer_norm_eps", "num_attention_heads", "num_hidden_layers"}


def is_plain_bert(checkpoint: Checkpoint) -> bool:
    """True if `bert_graph` can build the checkpoint, judged by its configuration and the names of its weights."""
    config = checkpoint.config
    if not is_bert(checkpoint) or not config.keys() >= _REQUIRED:
        return False
    return set(checkpoint.weights) == set(_weight_names(int(config["num_hidden_layers"])))


def _weight_names(layers: int) -> Iterator[str]:
    yield from (f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "token_type", "position"))
    parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
    parts += [f"{part}{own}" for part in ("attention.output", "output") for own in (".dense", ".LayerNorm")]
    inner = (f"{_LAYER}.{number}.{part}" for number in range(layers) for part in [*parts, "intermediate.dense"])
    for name in ("bert.embeddings.LayerNorm", *inner, "classifier"):
        yield from (f"{name}.weight", f"{name}.bias")


def bert_graph(checkpoint: Checkpoint, ops: Any, quantized: bool) -> dict[str, list[Any]]:
    """Arguments of `openvino.Model`: token ids (rows, length) and tokens per row (rows,) to labels, scores and logits.

    ops:       OpenVINO's operations (`openvino.opset15`)
    quantized: simulate int8 in the linear layers that have an activation range, as `int8.QuantizedLinear` does

    Raises SettingsError for a range of a layer that does not exist.
    """
    ranges = checkpoint.activation_ranges if quantized else {}
    if unknown := {name for name in ranges if f"{name}.weight" not in checkpoint.weights}:
        raise SettingsError(f"activation_ranges name {min(unknown)}, which the model does not have")
    return _Builder(checkpoint, ops, ranges).graph()


class _Builder:
    def __init__(self, checkpoint: Checkpoint, ops: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
        self._ops = ops
        self._weights = checkpoint.weights
        self._config = checkpoint.config
        self._ranges = ranges
        self._groups = checkpoint.tags.groups

    def graph(self) -> dict[str, list[Any]]:
        ops = self._ops
        ids = ops.parameter([-1, -1], np.int32, "token_ids")
        counts = ops.parameter([-1], np.int32, "n_tokens")
        mask = self._mask(ids, counts)
        hidden = self._embedded(ids)
        for number in range(int(self._config["num_hidden_layers"])):
            hidden = self._layer(f"{_LAYER}.{number}", hidden, mask)
        logits = self._linear("classifier", hidden)
        in_groups = ops.reshape(logits, self._ints([0, 0, self._groups, -1]), True)
        score = ops.softmax(in_groups, -1)
        best = ops.topk(score, self._ints(1), 3, "max", "none", index_element_type="i32")
        label = ops.convert(ops.squeeze(best.output(1), self._ints([3])), "i8")
        results = [label, ops.reduce_max(score, self._ints([3]), False), logits]
        return {"results": [ops.result(one) for one in results], "parameters": [ids, counts]}

    def _mask(self, ids: Any, counts: Any) -> Any:
        """(rows, 1, length, length): true where a token may attend to another, which is everywhere but at padding."""
        ops = self._ops
        shape = ops.shape_of(ids, "i32")
        length = ops.gather(shape, self._ints([1]), self._ints(0))
        column = ops.range(self._ints(0), ops.squeeze(length, self._ints([0])), self._ints(1), "i32")
        inside = ops.less(ops.unsqueeze(column, self._ints(0)), ops.unsqueeze(counts, self._ints(1)))
        rows = ops.gather(shape, self._ints([0]), self._ints(0))
        target = ops.concat([rows, self._ints([1]), length, length], 0)
        return ops.broadcast(ops.unsqueeze(inside, self._ints([1, 2])), target)

    def _embedded(self, ids: Any) -> Any:
        """The sum of the embeddings of token, type (always 0) and position."""
        ops, name = self._ops, "bert.embeddings"
        zero = self._ints(0)
        words = ops.gather(self._constant(f"{name}.word_embeddings.weight"), ids, zero)
        types = self._array(f"{name}.token_type_embeddings.weight")[:1]
        length = ops.gather(ops.shape_of(ids, "i32"), self._ints([1]), zero)
        all_positions = self._constant(f"{name}.position_embeddings.weight")
        positions = ops.slice(all_positions, self._ints([0]), length, self._ints([1]))
        total = ops.add(ops.add(words, ops.constant(types[None])), ops.unsqueeze(positions, zero))
        return self._normalized(f"{name}.LayerNorm", total)

    def _layer(self, name: str, hidden: Any, mask: Any) -> Any:
        ops = self._ops
        query, key, value = (self._heads(f"{name}.attention.self.{part}", hidden) for part in ("query", "key", "value"))
        attended = ops.scaled_dot_product_attention(query, key, value, mask)
        width = int(self._config["hidden_size"])
        joined = ops.reshape(ops.transpose(attended, self._ints([0, 2, 1, 3])), self._ints([0, 0, width]), True)
        out = self._linear(f"{name}.attention.output.dense", joined)
        hidden = self._normalized(f"{name}.attention.output.LayerNorm", ops.add(out, hidden))
        inner = ops.gelu(self._linear(f"{name}.intermediate.dense", hidden), "erf")
        out = self._linear(f"{name}.output.dense", inner)
        return self._normalized(f"{name}.output.LayerNorm", ops.add(out, hidden))

    def _heads(self, name: str, hidden: Any) -> Any:
        """A projection as (rows, heads, length, width of a head)."""
        heads = int(self._config["num_attention_heads"])
        shape = self._ints([0, 0, heads, int(self._config["hidden_size"]) // heads])
        split = self._ops.reshape(self._linear(name, hidden), shape, True)
        return self._ops.transpose(split, self._ints([0, 2, 1, 3]))

    def _linear(self, name: str, inputs: Any) -> Any:
        ops = self._ops
        weight = self._constant(f"{name}.weight")
        if name in self._ranges:
            inputs, weight = self._quantized(name, inputs, weight)
        bias = self._array(f"{name}.bias")[None, None]
        return ops.add(ops.matmul(inputs, weight, False, True), ops.constant(bias))

    def _quantized(self, name: str, inputs: Any, weight: Any) -> tuple[Any, Any]:
        """Inputs rounded to 256 values over the layer's range, weights to 255 values per row around zero."""
        ops = self._ops
        low, high = self._ranges[name]
        low, high = min(low, 0.0), max(high, 0.0, 1e-6)
        scale = np.float32((high - low) / 255)
        zero = round(-low / float((high - low) / 255))
        ends = [ops.constant(np.float32(scale * np.float32(value - zero))) for value in (0, 255)]
        row = np.abs(self._array(f"{name}.weight")).max(1, keepdims=True)
        row = np.maximum(row, np.float32(1e-8)) / np.float32(127)
        sides = [ops.constant((row * np.float32(value)).astype(np.float32)) for value in (-127, 127)]
        return ops.fake_quantize(inputs, *ends, *ends, 256), ops.fake_quantize(weight, *sides, *sides, 255)

    def _normalized(self, name: str, hidden: Any) -> Any:
        ops = self._ops
        epsilon = float(self._config["layer_norm_eps"])
        normal = ops.mvn(hidden, self._ints([2]), True, epsilon, "inside_sqrt")
        weight, bias = (ops.constant(self._array(f"{name}.{part}")[None, None]) for part in ("weight", "bias"))
        return ops.add(ops.multiply(normal, weight), bias)

    def _ints(self, values: int | list[int]) -> Any:
        return self._ops.constant(np.array(values, np.int32))

    def _constant(self, name: str) -> Any:
        return self._ops.constant(self._array(name))

    def _array(self, name: str) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._weights[name].astype(np.float32))
