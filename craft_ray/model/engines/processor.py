"""The processor of this machine: its name, what it computes quickly, and whether there is a GPU beside it."""

import platform
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
"""Linux's description of the processor; absent on other systems."""


def has_gpu() -> bool:
    """True if NVIDIA's driver shows a GPU here, without importing torch."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def capabilities() -> frozenset[str]:
    """Instruction sets by Linux' names, as `avx512_vnni`, `avx512_bf16`, `amx_bf16` or `i8mm`.

    Read from the kernel, since torch takes a second to import; asked of torch where there is no such file.
    """
    if not CPU_INFO.is_file():
        import torch

        return frozenset(name for name, able in torch.cpu.get_capabilities().items() if able is True)
    return frozenset((_entries().get("flags") or _entries().get("Features", "")).split())


def processor_name() -> str:
    """The maker's name of the processor, as `AMD EPYC 7B13`."""
    return _entries().get("model name") or platform.processor() or platform.machine()


@cache
def _entries() -> dict[str, str]:
    """The kernel's description of the last core."""
    if not CPU_INFO.is_file():
        return {}
    lines = (line.partition(":") for line in CPU_INFO.read_text(encoding="utf-8").splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
