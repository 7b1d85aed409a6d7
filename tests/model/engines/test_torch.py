"""The engine torch: attention masks without synchronization, and formats that overflow."""

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


class Synchronizations(TorchFunctionMode):
    """Counts reads of tensors as numbers, for which a CPU would wait for its GPU."""

    READS = (
        torch.Tensor.__bool__,
        torch.Tensor.__int__,
        torch.Tensor.__float__,
        torch.Tensor.item,
        torch.Tensor.tolist,
    )

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += function in self.READS
        return function(*args, **(kwargs or {}))


@pytest.fixture
def checkpoint(tiny_checkpoint: Path):
    return load_checkpoint(str(tiny_checkpoint))


def logits_of(checkpoint, full_mask: bool) -> tuple[np.ndarray, int]:
    ids = torch.randint(5, 1000, (3, 16), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    network = build_network(checkpoint, full_mask=full_mask)
    with torch.inference_mode(), Synchronizations() as found:
        logits = network(ids, torch.tensor([16, 3, 9], dtype=torch.int32)).logits
    return np.concatenate([logits[row, :length].numpy() for row, length in enumerate((16, 3, 9))]), found.count


def test_full_mask_needs_no_synchronization(checkpoint):
    short, synchronizations = logits_of(checkpoint, full_mask=False)
    full, none = logits_of(checkpoint, full_mask=True)
    assert np.allclose(short, full, atol=1e-4)
    assert synchronizations > 0
    assert none == 0


def overflowing(checkpoint, factor: float):
    """Scale sums in the first layer beyond fp16; the normalization that follows scales them back."""
    name = "bert.encoder.layer.0.output.dense.weight"
    return replace(checkpoint, weights=dict(checkpoint.weights) | {name: checkpoint.weights[name] * np.float32(factor)})


def test_overflow_in_fp16_continues_in_bf16(checkpoint):
    large = overflowing(checkpoint, 1e6)
    windows = windows_of(large, SENTENCES)
    fp16, bf16 = (Model(prepare_model(large, "cpu", precision, "torch")) for precision in ("fp16", "bf16"))
    label, score = predict(fp16, windows)
    assert fp16.precision == "bf16"
    assert np.isfinite(score).all()
    expected = predict(bf16, windows)
    assert np.array_equal(label, expected[0])
    assert np.array_equal(score, expected[1])


def test_results_that_are_not_finite_are_an_error(checkpoint):
    broken = overflowing(checkpoint, np.inf)
    with pytest.raises(ArithmeticError, match="not finite"):
        predict(Model(prepare_model(broken, "cpu", "fp32", "torch")), windows_of(broken, SENTENCES))
