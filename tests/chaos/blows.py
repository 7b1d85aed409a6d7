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
    fatal: bool = False
    storage: bool = False


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
    scene.store.stop()

    def restart() -> None:
        threading.Event().wait(down)
        scene.store.start()

    _later(scene, restart)
    return True


def _faulty(kind: Kind) -> Callable[[Scene], bool]:
    """A fault of the proxy that hits some requests."""

    def strike(scene: Scene) -> bool:
        scene.proxy.strike(Fault(kind, scene.random.uniform(0.2, 0.8), scene.random.randint(1, 8)))
        return True

    return strike


def _later(scene: Scene, work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work, name="mending")
    thread.start()
    scene.background.append(thread)


BLOWS = {
    blow.name: blow
    for blow in (
        Blow("driver killed", lambda scene: scene.run.signalled(signal.SIGKILL), fatal=True),
        Blow("driver terminated", lambda scene: scene.run.signalled(signal.SIGTERM), fatal=True),
        Blow("replica killed", _process_killed(REPLICA)),
        Blow("replica out of memory", _replica_out_of_memory),
        Blow("reader killed", _process_killed(READER)),
        Blow("writer killed", _process_killed(WRITER)),
        Blow("raylet killed", _raylet_killed),
        Blow("node lost", _node_lost),
        Blow("head lost", _head_lost, fatal=True),
        Blow("store killed", _store_killed, storage=True),
        Blow("503 SlowDown", _faulty("slow_down"), storage=True),
        Blow("connection reset", _faulty("reset"), storage=True),
        Blow("truncated body", _faulty("truncate"), storage=True),
        Blow("lost acknowledgement", _faulty("lost_acknowledgement"), storage=True),
    )
}
