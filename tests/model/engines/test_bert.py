"""Our BERT: graphs that answer as those of transformers' network, and are made without transformers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from craft_ray.core.errors import SettingsError
from craft_ray.model.batches import Batches, SpecialTokens
from craft_ray.model.engines.bert import Bert, PaddedBert, attend_padded
from craft_ray.model.engines.int8 import quantize, quantize_bert
from craft_ray.model.engines.network import build_network
from craft_ray.model.engines.openvino import GraphEngine, trace
from craft_ray.model.loading import load_checkpoint
from tests.model.engines.test_torch import SENTENCES
from tests.support.models import windows_of

EXAMPLE = torch.ones(2, 16, dtype=torch.int32), torch.full((2,), 16, dtype=torch.int32)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_its_graph_gives_the_bits_that_the_graph_of_transformers_gives(craft_iob, precision):
    ours, theirs = PaddedBert(craft_iob), build_network(craft_iob)
    if precision == "int8":
        quantize_bert(ours.bert, craft_iob.activation_ranges)
        quantize(theirs, craft_iob.activation_ranges)
    engines = [GraphEngine(trace(network, EXAMPLE, precision), threads=1) for network in (ours, theirs)]
    windows = windows_of(craft_iob, [*SENTENCES, "Mice and rats are rodents that eat what they find. " * 8])
    batches = Batches.of(windows.token_ids, windows.window_length, SpecialTokens.of(craft_iob))
    compared = 0
    for batch in batches.all(512):
        found, expected = (engine.logits(batch)[batch.inside] for engine in engines)
        assert np.array_equal(found, expected)
        (label, score), (their_label, their_score) = (engine.finish(engine.start(batch)) for engine in engines)
        assert np.array_equal(label[batch.inside], their_label[batch.inside])
        assert np.array_equal(score[batch.inside], their_score[batch.inside])
        compared += len(found)
    assert compared > 80


def test_a_model_is_converted_without_transformers(tmp_path: Path):
    asked = (
        "import sys; from craft_ray import Tagger; "
        "print(Tagger.load().tag('The mouse.')[0].mention, 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    # In bf16, which `auto` takes for no model that ships, the network is transformers' own.
    assert done.stdout.split() == ["mouse", "True", "False"]


def test_ranges_that_do_not_fit_are_a_bad_setting(tiny_checkpoint: Path):
    checkpoint = load_checkpoint(str(tiny_checkpoint))

    def quantized(ranges):
        return quantize_bert(Bert(checkpoint, torch.float32, attend_padded), ranges)

    name = "bert.encoder.layer.1.attention.self.{}".format
    same = {name(part): (-1.0, 2.0) for part in ("query", "key", "value")}
    assert type(quantized(same).layers[1]["query_key_value"]).__name__ == "QuantizedLinear"
    assert type(quantized(same).layers[0]["query_key_value"]).__name__ == "Linear"
    with pytest.raises(SettingsError, match=r"activation_ranges name bert\.pooler, which the model does not have"):
        quantized({"bert.pooler": (0.0, 1.0)})
    for other in (same | {name("key"): (-1.0, 3.0)}, {name("query"): (-1.0, 2.0)}):
        with pytest.raises(SettingsError, match="activation_ranges differ between"):
            quantized(other)
