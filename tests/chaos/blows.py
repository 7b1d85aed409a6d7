"""Blows to a run and what it depends on. Each strikes once, and returns False if it finds no target."""

import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from cluster.local.cluster import RAYLET, RayCluster, kill
from tests.chaos.proxy import Fault, Kind, Proxy
from tests.chaos.run import Run
from tests.support.s3_server import S3Server

REPLICA, READER, WRITER = "Replica", "prepare_shards", "write_blocks"
"""Parts of the process titles of the three stages."""

SUSPENDED = (5.0, 120.0)
"""Seconds for which a driver is suspended."""

OVERTAKEN = "driver overtaken"
"""A suspension during which another run starts, as if from another machine."""


@dataclass
class Scene:
    """The targets."""

    cluster: RayCluster
    store: S3Server
    proxy: Proxy
    run: Run
    random: random.Random
    background: list[threading.Thread]


@dataclass(frozen=True)
class Blow:
    """After a fatal blow a run ends; after others it goes on, or ends with a clear error.

    storage: it hits the store, so that a run may find its output unreachable
    """

    name: str
    strike: Callable[[Scene], bool]
    weight: float = 1.0
    fatal: bool = False
    storage: bool = False


def _driver_suspended(scene: Scene) -> bool:
    """As by a laptop that sleeps, a debugger or a frozen container."""
    return scene.run.suspend(scene.random.uniform(*SUSPENDED))


def _process_killed(title: str) -> Callable[[Scene], bool]:
    def strike(scene: Scene) -> bool:
        found = scene.cluster.named(title)
        return bool(found) and kill(scene.random.choice(found))

    return strike


def _replica_out_of_memory(scene: Scene) -> bool:
    """Limit the address space, so that the replica's next allocation fails."""
    found = scene.cluster.named(REPLICA)
    if not found:
        return False
    replica = scene.random.choice(found)
    try:
        replica.rlimit(psutil.RLIMIT_AS, (replica.memory_info().vms,) * 2)
    except (psutil.NoSuchProcess, PermissionError):
        return False
    return True


def _raylet_killed(scene: Scene) -> bool:
    """Its workers end by themselves; another node replaces it."""
    raylets = [process for node in scene.cluster.workers for process in node.named(RAYLET)]
    if not raylets or not kill(scene.random.choice(raylets)):
        return False
    _later(scene, lambda: _replaced(scene.cluster))
    return True


def _node_lost(scene: Scene) -> bool:
    """Kill all processes of a node; another node replaces it."""
    nodes = [node for node in scene.cluster.workers if node.alive]
    if not nodes:
        return False
    scene.random.choice(nodes).kill()
    _later(scene, lambda: _replaced(scene.cluster))
    return True


def _replaced(cluster: RayCluster) -> None:
    if cluster.head.alive:
        cluster.replace_dead_workers()


def _head_lost(scene: Scene) -> bool:
    """Kill all processes of the head."""
    if not scene.cluster.head.alive:
        return False
    scene.cluster.head.kill()
    return True


def _store_killed(scene: Scene) -> bool:
    """Kill the store and start it again after up to three seconds."""
    if not scene.store.running:
        return False
    down = scene.random.uniform(0.2, 3)
    scene.store.kill()

    def restart() -> None:
        threading.Event().wait(down)
        scene.store.start()

    _later(scene, restart)
    return True


def _faulty(kind: Kind, probability: tuple[float, float], strength: tuple[float, float]) -> Callable[[Scene], bool]:
    """A fault of the proxy for one to four seconds, and until it has hit some requests."""

    def strike(scene: Scene) -> bool:
        fault = Fault(kind, scene.random.uniform(*probability), scene.random.uniform(*strength))
        scene.proxy.strike(fault, seconds=scene.random.uniform(1, 4), requests=scene.random.randint(1, 8))
        return True

    return strike


def _later(scene: Scene, work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work, name="mending")
    thread.start()
    scene.background.append(thread)


BLOWS = {
    blow.name: blow
    for blow in (
        Blow("driver killed", lambda scene: scene.run.signalled(signal.SIGKILL), 1.0, fatal=True),
        Blow("driver terminated", lambda scene: scene.run.signalled(signal.SIGTERM), 1.0, fatal=True),
        Blow("driver suspended", _driver_suspended, 1.0),
        Blow(OVERTAKEN, _driver_suspended, 1.0, fatal=True),
        Blow("replica killed", _process_killed(REPLICA), 1.5),
        Blow("replica out of memory", _replica_out_of_memory, 0.5),
        Blow("reader killed", _process_killed(READER), 1.5),
        Blow("writer killed", _process_killed(WRITER), 1.5),
        Blow("raylet killed", _raylet_killed, 0.7),
        Blow("node lost", _node_lost, 0.7),
        Blow("head lost", _head_lost, 0.5, fatal=True),
        Blow("store killed", _store_killed, 1.0, storage=True),
        Blow("503 SlowDown", _faulty("slow_down", (0.2, 0.9), (0, 0)), 1.0, storage=True),
        Blow("latency", _faulty("latency", (0.3, 1.0), (0.05, 0.8)), 0.7, storage=True),
        Blow("connection reset", _faulty("reset", (0.1, 0.7), (0, 0)), 1.0, storage=True),
        Blow("truncated body", _faulty("truncate", (0.2, 0.8), (0, 0)), 1.0, storage=True),
        Blow("bandwidth limit", _faulty("bandwidth", (0.5, 1.0), (20_000, 200_000)), 0.7, storage=True),
        Blow("lost acknowledgement", _faulty("lost_acknowledgement", (0.2, 0.9), (0, 0)), 1.5, storage=True),
    )
}
