"""Engines and number formats by device, checkpoint and setting."""

from pathlib import Path

import pytest
import torch

from craft_ray.core.errors import SettingsError
from craft_ray.model.engines import openvino
from craft_ray.model.engines.processor import CPU_INFO, capabilities
from craft_ray.model.inference import choose_precision
from craft_ray.model.loading import load_checkpoint

NEW = {"avx512_vnni", "avx512_bf16"}


@pytest.mark.parametrize(
    ("has_ranges", "processor", "device", "engine", "expected"),
    [
        (True, NEW, "cpu", "auto", ("int8", "openvino")),
        (False, NEW, "cpu", "auto", ("bf16", "openvino")),
        (True, set(), "cpu", "auto", ("fp32", "openvino")),
        (True, NEW, "cpu", "torch", ("fp32", "torch")),
        (True, NEW, "cuda", "auto", ("fp16", "torch")),
    ],
)
def test_auto(craft_iob, tiny_checkpoint: Path, monkeypatch, has_ranges, processor, device, engine, expected):
    monkeypatch.setattr(openvino, "capabilities", lambda: processor)
    checkpoint = craft_iob if has_ranges else load_checkpoint(str(tiny_checkpoint))
    precision, spec = choose_precision(checkpoint, device, "auto", engine)
    assert (precision, spec.name) == expected


@pytest.mark.parametrize(
    ("device", "precision", "engine", "message"),
    [
        ("cpu", "int8", "auto", "no activation_ranges"),
        ("cpu", "fp16", "auto", "openvino computes in"),
        ("cuda", "int8", "auto", "torch computes in"),
        ("cpu", "int8", "torch", "torch computes in fp32, bf16, fp16, not in int8"),
        ("cuda", "auto", "openvino", "openvino does not run on cuda: choose torch"),
        ("cpu", "auto", "tensorflow", "unknown engine 'tensorflow': choose auto or one of openvino, torch"),
        ("cpu", "auto", "stand-in", "unknown engine"),
        ("cpu", "fp8", "auto", "unknown precision"),
    ],
)
def test_unsupported_choices(tiny_checkpoint: Path, device, precision, engine, message):
    with pytest.raises(SettingsError, match=message):
        choose_precision(load_checkpoint(str(tiny_checkpoint)), device, precision, engine)


@pytest.mark.skipif(not CPU_INFO.is_file(), reason="torch itself is asked where there is no /proc/cpuinfo")
def test_capabilities_are_those_that_torch_finds():
    expected = torch.cpu.get_capabilities()
    for name in ("avx2", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16"):
        assert (name in capabilities()) == bool(expected.get(name)), name
