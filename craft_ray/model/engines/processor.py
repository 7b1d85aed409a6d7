"""The CPU of this machine: its name and instruction sets; and whether the machine has a GPU."""

import platform
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def has_gpu() -> bool:
    """True if NVIDIA's driver shows a GPU. Does not import torch."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()


def capabilities() -> frozenset[str]:
    """Instruction sets by their names in Linux, such as `avx512_vnni`, `avx512_bf16`, `amx_bf16` or `i8mm`.

    Read from the kernel, because torch takes a second to import. Systems without /proc/cpuinfo ask torch.
    """
    if not CPU_INFO.is_file():
        import torch

        return frozenset(name for name, able in torch.cpu.get_capabilities().items() if able is True)
    return frozenset((_cpu_info().get("flags") or _cpu_info().get("Features", "")).split())


def processor_name() -> str:
    """The vendor's name, such as `AMD EPYC 7B13`."""
    return _cpu_info().get("model name") or platform.processor() or platform.machine()


@cache
def _cpu_info() -> dict[str, str]:
    """Entries of /proc/cpuinfo for the last core; empty where there is no such file."""
    if not CPU_INFO.is_file():
        return {}
    lines = (line.partition(":") for line in CPU_INFO.read_text(encoding="utf-8").splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
