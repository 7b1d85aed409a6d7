"""How many replicas a run has, on which device, and the share of CPUs and GPUs that each replica and task claims."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from craft_ray.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """How the work is laid on the cluster. CPUs are logical shares by which Ray places tasks and actors.

    replicas, max_replicas: as a run begins, and as the cluster may grow to hold
    read_slots: read tasks that find a core of their own
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
    """Lay out a run on nodes given by their resources (`CPU`, `GPU`): one replica a GPU, else one for eight cores.

    Replicas claim a quarter of the cores that they compute on, so that tasks always find room: a pool that claims all
    cores of a machine, or of what a cluster has left after losing nodes, would wait for input forever. The three claims
    differ, since Ray fuses stages with equal ones into one, and then nothing overlaps.
    """
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    smallest = min((int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1), default=1)
    if gpus:
        replicas, threads, replica_cpus = settings.replicas or gpus, 1, 0.5
    else:
        threads = min(8, smallest)
        replicas = settings.replicas or max(1, sum(int(node.get("CPU", 0)) // threads for node in nodes))
        threads = max(1, min(smallest, int(cpus) // replicas))
        replica_cpus = round(0.25 * min(threads, cpus / replicas), 3)
    small = cpus < 8
    return Plan(
        replicas=min(replicas, settings.max_replicas or replicas),
        max_replicas=settings.max_replicas or replicas,
        device="cuda" if gpus else "cpu",
        token_budget=settings.token_budget or (32_768 if gpus else 512),
        threads=threads,
        block_bytes=int((settings.block_mb or _block_mb(gpus)) * (1 << 20)),
        replica_cpus=replica_cpus,
        replica_gpus=round(min(1.0, gpus / replicas), 3) if gpus else 0,
        read_cpus=0.31 if small else 0.91,
        write_cpus=0.21 if small else 0.61,
        read_slots=max(1, int(cpus)),
    )


def _block_mb(gpus: int) -> float:
    """Megabytes per block. For each block the driver takes 16 to 40 ms per stage, however many replicas share them; and
    the smaller the blocks, the earlier the first rows and the better a small corpus spreads.
    """
    return min(128, max(16, 2 * gpus)) if gpus else 2
