"""The choice of `auto`, and formats that a device cannot compute."""

from pathlib import Path

import pytest
import torch

from craft_ray.core.errors import SettingsError
from craft_ray.model.engines import openvino
from craft_ray.model.engines.processor import CPU_INFO, capabilities
from craft_ray.model.inference import choose_precision
from craft_ray.model.loading import load_checkpoint


def test_what_auto_stands_for(craft_iob, tiny_checkpoint: Path, monkeypatch):
    plain = load_checkpoint(str(tiny_checkpoint))
    able = {"avx512_vnni", "avx512_bf16"}
    monkeypatch.setattr(openvino, "capabilities", lambda: able)

    def chosen(checkpoint, device, engine="auto"):
        precision, by = choose_precision(checkpoint, device, "auto", engine)
        return precision, by.name

    assert chosen(craft_iob, "cpu") == ("int8", "openvino")
    assert chosen(plain, "cpu") == ("bf16", "openvino")
    assert chosen(craft_iob, "cpu", "torch") == ("fp32", "torch")
    assert chosen(craft_iob, "cuda") == ("fp16", "torch")
    able.clear()
    assert chosen(craft_iob, "cpu") == ("fp32", "openvino")


@pytest.mark.skipif(not CPU_INFO.is_file(), reason="torch itself is asked where there is no /proc/cpuinfo")
def test_the_kernel_tells_of_the_processor_what_torch_tells():
    torchs = torch.cpu.get_capabilities()
    for name in ("avx2", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16"):
        assert (name in capabilities()) == bool(torchs.get(name)), name


@pytest.mark.parametrize(
    ("device", "precision", "engine", "says"),
    [
        ("cpu", "int8", "auto", "no activation_ranges"),
        ("cpu", "fp16", "auto", "openvino computes in"),
        ("cuda", "int8", "auto", "torch computes in"),
        ("cpu", "int8", "torch", "torch computes in fp32, bf16, fp16 on cpu, not in int8"),
        ("cuda", "auto", "openvino", "openvino does not run on cuda: choose torch"),
        ("cpu", "auto", "tensorflow", "unknown engine 'tensorflow': choose auto or one of openvino, torch"),
        ("cpu", "auto", "stand-in", "unknown engine"),
        ("cpu", "fp8", "auto", "unknown precision"),
    ],
)
def test_what_a_device_cannot_compute_is_a_bad_setting(tiny_checkpoint: Path, device, precision, engine, says):
    with pytest.raises(SettingsError, match=says):
        choose_precision(load_checkpoint(str(tiny_checkpoint)), device, precision, engine)
