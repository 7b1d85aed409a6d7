"""How many replicas a run has, on which device, and the share of CPUs and GPUs that each replica and task claims."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from craft_ray.core.settings import Settings

CORES_PER_REPLICA = 8

BLOCKS_PER_SECOND = 10
"""The driver takes about 12 ms of CPU for a block, whatever its size and however many replicas there are."""

CORE_MB_PER_SECOND, GPU_MB_PER_SECOND = 0.25, 13.5
"""Text and tokens that are predicted: 9,200 and (assumed) 500,000 tokens/s, of 27 bytes in a block."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The layout of a run on a cluster. CPUs and GPUs are the logical shares by which Ray schedules tasks and actors.

    replicas, max_replicas: at the start of the run, and as many as a growing cluster may get
    threads:                of one replica
    read_slots:             read tasks that can have a core of their own
    """

    replicas: int
    max_replicas: int
    device: str
    token_budget: int
    threads: int
    block_bytes: int
    replica_cpus: float
    replica_gpus: float
    read_cpus: float
    write_cpus: float
    read_slots: int


def make_plan(settings: "Settings", nodes: Sequence[dict[str, float]]) -> Plan:
    """Lay out a run on nodes given by their resources (`CPU`, `GPU`): one replica per GPU, or one per eight cores.

    Replicas claim a quarter of the cores that they compute on, so that there is always room for tasks: if they claimed
    all cores of a machine, or all that a cluster has left after losing nodes, they would wait for input forever. The
    three claims of CPUs differ because Ray fuses stages with equal claims, and fused stages do not overlap.
    """
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    cores, small_node = _replica_nodes(nodes)
    replicas = settings.replicas or gpus or sum(count // min(CORES_PER_REPLICA, cores[0]) for count in cores)
    threads = 1 if gpus else max(1, min(cores[0], sum(cores) // replicas))
    replica_cpus = min(0.5 if gpus else 0.25 * threads, 0.25 * cpus / replicas)
    if 0 < small_node < threads:
        replica_cpus = max(replica_cpus, small_node + 0.1)  # so Ray cannot place a replica on a node that is too small
    small = cpus < 8
    return Plan(
        replicas=min(replicas, settings.max_replicas or replicas),
        max_replicas=settings.max_replicas or replicas,
        device="cuda" if gpus else "cpu",
        token_budget=settings.token_budget or (32_768 if gpus else 512),
        threads=threads,
        block_bytes=int((settings.block_mb or _block_mb(gpus, cpus)) * (1 << 20)),
        replica_cpus=round(replica_cpus, 3),
        # of one GPU, since Ray places no replica across two; rounded down to the precision of Ray
        replica_gpus=math.floor(10_000 / math.ceil(replicas / gpus)) / 10_000 if gpus else 0,
        read_cpus=0.31 if small else 0.91,
        write_cpus=0.21 if small else 0.61,
        read_slots=max(1, int(cpus)),
    )


def _replica_nodes(nodes: Sequence[dict[str, float]]) -> tuple[list[int], int]:
    """Cores of the nodes that replicas are laid out for, smallest first, and of the largest node that is left out.

    The smallest nodes, with at most an eighth of all cores together, are left to tasks: all replicas have the same
    number of threads, so a small head node would make each of them as small as itself.
    """
    cores = sorted(int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1) or [1]
    first = int(np.searchsorted(np.cumsum(cores), sum(cores) / 8, side="right"))
    smallest = min(CORES_PER_REPLICA, cores[first])
    return [count for count in cores if count >= smallest], max(
        (count for count in cores if count < smallest), default=0
    )


def _block_mb(gpus: int, cpus: float) -> float:
    """MB per block, so that the whole cluster predicts BLOCKS_PER_SECOND. Smaller ones bring the first rows earlier."""
    smallest, rate = (16.0, gpus * GPU_MB_PER_SECOND) if gpus else (2.0, cpus * CORE_MB_PER_SECOND)
    return min(128.0, max(smallest, rate / BLOCKS_PER_SECOND))
