"""Integers in a torch network: the products of 8-bit inputs and 7-bit weights, exactly."""

import os
import platform
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from craft_ray.core.errors import SettingsError
from craft_ray.model.engines.int8 import IntegerLinear, has_kernels
from craft_ray.model.inference import Model, prepare_model
from craft_ray.training.corpora import read_iob
from tests.support.models import predict, windows_of

pytestmark = pytest.mark.skipif(not has_kernels(), reason="this torch has no integer kernels of oneDNN")


def check_products() -> None:
    """Some rows have the largest inputs and weights of one sign, so that sums of pairs are at their top."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.rand(32, 384, generator=generator) * 0.5 + 0.5
    weight[::2] *= -1
    weight[::3] = weight.abs().amax()
    inputs = torch.cat([torch.full((4, 384), 3.0), torch.randn(60, 384, generator=generator)])
    bias = torch.randn(32, generator=generator)
    found = IntegerLinear(weight, bias, -3.0, 3.0)(inputs)
    scale, row = 6 / 255, (weight.abs().amax(1) / 63).double()
    codes = (inputs.double() / scale).round() + 128
    rounded = (codes.clamp(0, 255) - 128) * scale
    exact = rounded @ ((weight.double() / row[:, None]).round() * row[:, None]).T + bias
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, atol=0.05, rtol=1e-4)
    assert found.shape == (64, 32)


def test_products_are_those_of_rounded_inputs_and_weights():
    check_products()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="sums of pairs in 16 bits are of x86 processors")
def test_nothing_overflows_without_instructions_for_8_bits():
    code = f"from {__name__} import check_products; check_products()"
    oldest = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    ended = subprocess.run([sys.executable, "-c", code], env=oldest, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_it_warns_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        IntegerLinear(torch.eye(8), torch.zeros(8), -1.0, 1.0)(torch.ones(2, 8))


def test_the_network_is_the_same_however_its_inputs_are_batched(craft_iob, data: Path):
    """Ranges are fixed, so only the order of fp32 sums can differ, and turn a code by one."""
    windows = windows_of(craft_iob, [s.words for s in read_iob(data / "craft-iob" / "devel.tsv")[:150]])
    model = Model(prepare_model(craft_iob, "cpu", "int8", "torch"), threads=2)
    label, score = predict(model, windows)
    assert (label > 0).sum() > 150
    for budget in (64, 4096):
        model.token_budget = budget
        other_label, other_score = predict(model, windows)
        assert (label == other_label).mean() > 0.999
        assert np.abs(score - other_score).mean() < 1e-3


def test_a_network_that_is_no_bert_is_refused(craft_iob):
    other = replace(craft_iob, config=craft_iob.config | {"model_type": "distilbert"})
    with pytest.raises(SettingsError, match="has int8 for a BERT"):
        prepare_model(other, "cpu", "int8", "torch")
