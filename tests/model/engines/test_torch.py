"""torch: a mask that no processor waits for, and formats that overflow."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from craft_ray.model.engines.network import build_network
from craft_ray.model.inference import Model, prepare_model
from craft_ray.model.loading import load_checkpoint
from tests.support.models import predict, windows_of

SENTENCES = ["Pax6 acts in the mouse eye.", "Calcium.", "The zebrafish has neurons, and they need calcium."]


READS = (torch.Tensor.__bool__, torch.Tensor.__int__, torch.Tensor.__float__, torch.Tensor.item, torch.Tensor.tolist)


class Waits(TorchFunctionMode):
    """Counts what would make a processor wait for its GPU: tensors read as numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += function in READS
        return function(*args, **(kwargs or {}))


@pytest.fixture
def checkpoint(tiny_checkpoint: Path):
    return load_checkpoint(str(tiny_checkpoint))


def run(checkpoint, full_mask: bool) -> tuple[np.ndarray, int]:
    ids = torch.randint(5, 1000, (3, 16), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    network = build_network(checkpoint, full_mask=full_mask)
    with torch.inference_mode(), Waits() as waits:
        logits = network(ids, torch.tensor([16, 3, 9], dtype=torch.int32)).logits
    return np.concatenate([logits[row, :length].numpy() for row, length in enumerate((16, 3, 9))]), waits.count


def test_with_the_full_mask_the_answers_are_the_same_and_nobody_waits(checkpoint):
    short, waits = run(checkpoint, full_mask=False)
    full, none = run(checkpoint, full_mask=True)
    assert np.allclose(short, full, atol=1e-4)
    assert waits > 0
    assert none == 0


def overflowing(checkpoint, factor: float):
    """The network with sums beyond fp16 in its first layer, which the normalization after them scales back."""
    name = "bert.encoder.layer.0.output.dense.weight"
    return replace(checkpoint, weights=checkpoint.weights | {name: checkpoint.weights[name] * np.float32(factor)})


def test_a_network_that_overflows_in_fp16_goes_on_in_bf16(checkpoint):
    large = overflowing(checkpoint, 1e6)
    windows = windows_of(large, SENTENCES)
    models = {p: Model(prepare_model(large, "cpu", p, "torch")) for p in ("fp16", "bf16")}
    label, score = predict(models["fp16"], windows)
    assert np.isfinite(score).all()
    expected = predict(models["bf16"], windows)
    assert np.array_equal(label, expected[0])
    assert np.array_equal(score, expected[1])


def test_a_network_without_finite_answers_is_an_error_and_not_the_first_label(checkpoint):
    broken = overflowing(checkpoint, np.inf)
    with pytest.raises(ArithmeticError, match="not finite"):
        predict(Model(prepare_model(broken, "cpu", "fp32", "torch")), windows_of(broken, SENTENCES))
