"""Which engine and number format `auto` stands for on a device."""

from typing import Literal, get_args

from craft_ray.core.errors import SettingsError
from craft_ray.model.checkpoint import Checkpoint

Precision = Literal["fp32", "bf16", "fp16", "int8"]
EngineName = Literal["openvino", "torch"]


def choose_precision(
    checkpoint: Checkpoint, device: str, precision: Precision | Literal["auto"], engine: EngineName | Literal["auto"]
) -> tuple[Precision, EngineName]:
    """What `auto` stands for: fp16 by torch on a GPU. On a CPU OpenVINO, in int8 where the checkpoint has ranges for it
    and the processor multiplies 8-bit integers, else in bf16 where the processor does, else in fp32.

    Raises SettingsError for what the device cannot compute.
    """
    if precision not in ("auto", *get_args(Precision)):
        raise SettingsError(f"unknown precision {precision!r}: choose auto or one of {', '.join(get_args(Precision))}")
    if engine == "auto":
        engine = "torch" if device != "cpu" else "openvino"
    if engine == "openvino" and device != "cpu":
        raise SettingsError("OpenVINO runs on the CPU alone: choose the engine torch for a GPU")
    allowed = {"openvino": ("fp32", "bf16", "int8"), "torch": ("fp32", "bf16", "fp16")}[engine]
    if precision == "auto":
        if device != "cpu":
            precision = "fp16"
        elif engine == "openvino":
            precision = _fastest(checkpoint)
        else:
            precision = "fp32"
    if precision not in allowed:
        raise SettingsError(f"the engine {engine} computes in {', '.join(allowed)}, not in {precision}")
    if precision == "int8" and not checkpoint.activation_ranges:
        raise SettingsError(f"the model {checkpoint.source} has no activation_ranges, which int8 needs")
    return precision, engine


def _fastest(checkpoint: Checkpoint) -> Precision:
    import torch

    able = torch.cpu.get_capabilities()
    # Processors without these add products in 16 bits, which overflow.
    if checkpoint.activation_ranges and any(able.get(name) for name in ("avx512_vnni", "avx_vnni", "i8mm")):
        return "int8"
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"
