"""A Ray cluster of several nodes on this machine, whose processes can be found and killed.

Every process is found as a descendant of the `ray start` that this module made, so that no other Ray on the machine is
ever touched.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent.parent

REPLICA, READER, WRITER, RAYLET = "Replica", "prepare_shards", "stage_blocks", "raylet/raylet"
"""What is in the titles of the processes that run the three stages, and of a node's raylet."""

RAY_SETTINGS = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",  # until a process gives up a head that is gone; 60 otherwise
    "RAY_health_check_period_ms": "1000",  # a node that is gone is noticed after five of these
    "RAY_raylet_start_wait_time_s": "90",  # 30 otherwise, which a busy machine exceeds
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
    "RAY_num_workers_soft_limit": "6",  # idle processes kept; one a CPU otherwise, and each start costs seconds of it
}
"""Ray's settings for nodes and drivers."""


@dataclass
class Node:
    """One `ray start`, and all processes that were ever seen below it."""

    process: subprocess.Popen[bytes]
    log: Path
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    def processes(self) -> list[psutil.Process]:
        """The processes of the node that are alive, the raylet's workers among them."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                self.seen.setdefault(process.pid, process)
        return [process for process in self.seen.values() if process.is_running()]

    def named(self, part: str) -> list[psutil.Process]:
        """The processes whose title holds a text."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if part in " ".join(process.cmdline()[:1]):
                    found.append(process)
        return found

    @property
    def alive(self) -> bool:
        """Whether it is up and its raylet runs."""
        up = self.process.poll() is None and "Ray runtime started" in self.log.read_text(encoding="utf-8")
        return up and bool(self.named(RAYLET))

    def kill(self) -> None:
        """SIGKILL to all of it, as when a machine loses power."""
        processes = self.processes()
        self.process.kill()  # nothing where it has ended
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(timeout=30)
        psutil.wait_procs(processes, timeout=30)


class RayCluster:
    """A head, which runs no tasks where there are worker nodes, and these; the driver attaches to the head."""

    def __init__(
        self,
        environment: dict[str, str],
        workers: int = 2,
        cpus: int = 1,
        object_store_mb: int = 100,
        options: tuple[str, ...] = (),
    ) -> None:
        self._folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short, for paths of sockets are limited
        # A token of its own: with the mode unset, a head asks for one where this user keeps one, and clients send none.
        self._common_environment = RAY_SETTINGS | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._environment = os.environ | self._common_environment | {"PYTHONPATH": str(ROOT)} | environment
        self._environment.pop("RAY_ADDRESS", None)
        self._workers = workers
        self._common = [
            f"--object-store-memory={object_store_mb << 20}",
            "--node-ip-address=127.0.0.1",
            "--min-worker-port=0",
            "--max-worker-port=0",
            "--dashboard-agent-listen-port=0",
            "--disable-usage-stats",
            "--block",
        ]
        self._cpus = cpus
        self._options = options
        self._starting = threading.RLock()
        self._started = 0
        self._nodes: list[Node] = []
        self.address = ""
        self.head: Node
        self.workers: list[Node] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a driver needs to reach the cluster."""
        return self._common_environment | {"RAY_ADDRESS": self.address}

    def start(self) -> None:
        """Start the head, then the workers."""
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        self.head = self._start_node(
            "--head",
            f"--num-cpus={0 if self._workers else self._cpus}",  # fewer processes to start, each of which costs seconds
            f"--port={port}",
            "--include-dashboard=false",
            f"--temp-dir={self._folder}",
            *self._options,
        )
        self._wait_for(self.head)  # a worker that finds no head yet gives up
        self.workers = [self.add_worker() for _ in range(self._workers)]

    def add_worker(self) -> Node:
        """Start a worker node and wait for it: two that start at once take the same names for their sockets."""
        with self._starting:
            node = self._start_node(f"--address={self.address}", f"--num-cpus={self._cpus}")
            self._wait_for(node)
            return node

    def replace_dead_workers(self) -> None:
        """Start a node for each worker node whose raylet is gone."""
        with self._starting:
            for i, node in enumerate(self.workers):
                if not node.alive:
                    node.kill()  # `ray start` itself ends only after some seconds
                    self.workers[i] = self.add_worker()

    def named(self, part: str) -> list[psutil.Process]:
        """Processes of all nodes whose title holds a text."""
        return [process for node in (self.head, *self.workers) for process in node.named(part)]

    def stop(self) -> None:
        """Kill every node."""
        for node in self._nodes:
            node.kill()
        self._nodes.clear()

    def restart(self) -> None:
        """A new cluster under a new address."""
        self.stop()
        self.start()

    def remove_files(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_for(self, node: Node, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not node.alive:
            if node.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a Ray node did not come up:\n{node.log.read_text(encoding='utf-8')[-3000:]}")
            time.sleep(0.05)

    def _start_node(self, *arguments: str) -> Node:
        command = [str(Path(sys.executable).with_name("ray")), "start", *self._common, *arguments]
        self._started += 1
        path = Path(self._folder, f"node{self._started}.log")
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, cwd=self._folder, start_new_session=True
            )
        self._nodes.append(Node(process, path))
        return self._nodes[-1]


@contextmanager
def running_cluster(
    environment: dict[str, str],
    workers: int = 2,
    cpus: int = 1,
    object_store_mb: int = 100,
    options: tuple[str, ...] = (),
) -> Iterator[RayCluster]:
    """A cluster whose nodes have an environment."""
    cluster = RayCluster(environment, workers, cpus, object_store_mb, options)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        cluster.remove_files()


def kill(process: psutil.Process, number: int = signal.SIGKILL) -> bool:
    """Send a signal; False if the process has gone meanwhile."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
