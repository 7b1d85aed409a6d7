"""Graphs that are built directly agree with those that OpenVINO converts from torch."""

from dataclasses import replace

import numpy as np
import pytest

from craft_ray.model.checkpoint import Checkpoint
from craft_ray.model.engines.bert_graph import is_plain_bert
from craft_ray.model.engines.openvino import OpenVinoModel, _convert, to_openvino
from craft_ray.model.loading import load_checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint("craft")


def outputs(graph: OpenVinoModel, rows: int, length: int) -> list[np.ndarray]:
    """Labels, scores and logits of random windows without their padding."""
    random = np.random.default_rng(0)
    ids = random.integers(5, 28_000, (rows, length)).astype(np.int32)
    counts = random.integers(1, length + 1, rows).astype(np.int32)
    inside = np.arange(length) < counts[:, None]
    compiled = graph.compile(1)
    result = compiled([ids, counts])
    return [result[number][inside] for number in range(3)]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_same_bits(checkpoint: Checkpoint, precision):
    assert is_plain_bert(checkpoint)
    built, converted = to_openvino(checkpoint, precision), _convert(checkpoint, precision)
    for shape in ((1, 1), (3, 17), (5, 64)):
        for ours, theirs in zip(outputs(built, *shape), outputs(converted, *shape), strict=True):
            assert ours.dtype == theirs.dtype
            assert np.array_equal(ours, theirs)


def test_other_networks_are_converted(checkpoint: Checkpoint):
    for other in ({"model_type": "roberta"}, {"hidden_act": "relu"}, {"num_hidden_layers": 7}, {"is_decoder": True}):
        assert not is_plain_bert(replace(checkpoint, config=checkpoint.config | other))
    more = dict(checkpoint.weights) | {"bert.adapter.weight": np.zeros(1, np.float32)}
    assert not is_plain_bert(replace(checkpoint, weights=more))
    config = {name: value for name, value in checkpoint.config.items() if name != "num_attention_heads"}
    assert not is_plain_bert(replace(checkpoint, config=config))
