"""A Ray cluster of several nodes on this machine: for development, and for tests that kill parts of it.

    python cluster/local/cluster.py up --nodes 3     a head and two workers, on free loopback ports
    source /tmp/craft-ray-cluster-$UID/environment   where it is, for `craft-ray`, `ray job submit` and `ray status`
    python cluster/local/cluster.py down

Each node is a `ray start --block`. Its processes are found as descendants of it, so no other Ray on the machine is
ever touched.
"""

import fcntl
import json
import os
import random
import secrets
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import psutil
import typer

ROOT = Path(__file__).resolve().parent.parent.parent

RAYLET = "raylet/raylet"
"""Part of the title of a node's raylet."""

RAY_SETTINGS = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",  # until a process gives up a head that is gone; 60 otherwise
    "RAY_health_check_period_ms": "1000",  # a node that is gone is noticed after five of these
    "RAY_raylet_start_wait_time_s": "180",  # 30 by default, which a busy machine exceeds
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "1",
    "RAY_JOB_STOP_WAIT_TIME_S": "15",  # from SIGTERM to SIGKILL of a job that is stopped; 3 otherwise
    "RAY_num_workers_soft_limit": "6",  # idle processes kept; one a CPU otherwise, and each start costs seconds of it
}
"""Ray's settings for nodes and drivers."""


T = TypeVar("T")

BLOCK = 10
"""Ports of one reservation."""

ATTEMPTS = 3
"""Starts of a server that does not come up, each on other ports."""


@dataclass
class Node:
    """One `ray start`, and all processes that were ever seen below it."""

    process: psutil.Process
    log: Path
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    def processes(self) -> list[psutil.Process]:
        """The processes of the node that are alive, the raylet's workers among them."""
        with suppress(psutil.NoSuchProcess):
            for process in self.process.children(recursive=True):
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
    def ended(self) -> bool:
        """True if its `ray start` has ended."""
        with suppress(psutil.NoSuchProcess):
            return bool(self.process.status() == psutil.STATUS_ZOMBIE)
        return True

    @property
    def alive(self) -> bool:
        """True if it is up and its raylet runs."""
        up = not self.ended and "Ray runtime started" in self.log.read_text(encoding="utf-8")
        return up and bool(self.named(RAYLET))

    def kill(self) -> None:
        """SIGKILL to all of it, as when a machine loses power."""
        processes = [self.process, *self.processes()]
        for process in processes:
            kill(process)
        psutil.wait_procs(processes, timeout=30)


class RayCluster:
    """A head, which runs no tasks where there are worker nodes, and these; drivers attach to the head.

    folder:    for Ray's files and the nodes' logs; short, for paths of sockets are limited
    dashboard: whether jobs can be submitted to it
    options:   more arguments of the head's `ray start`
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        workers: int = 2,
        cpus: int = 1,
        object_store_mb: int = 100,
        options: tuple[str, ...] = (),
        dashboard: bool = False,
        folder: Path | None = None,
    ) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        # A token of its own: with the mode unset, a head asks for one where this user keeps one, and clients send none.
        token = self.folder / "token"
        if not token.exists():
            token.touch(mode=0o600)
            token.write_text(secrets.token_hex(32))
        self._common_environment = RAY_SETTINGS | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # jobs run `python`
        self._environment = (
            os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | self._common_environment | environment
        )
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
            *([] if dashboard else ["--include-log-monitor=false"]),  # a process per node, which no test listens to
        ]
        self._cpus = cpus
        self._options = options
        self._dashboard = dashboard
        self._starting = threading.RLock()
        self._started = 0
        self._ports = ExitStack()
        self.nodes: list[Node] = []
        self.address = ""
        self.dashboard_address = ""
        self.head: Node
        self.workers: list[Node] = []

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a driver reaches the cluster."""
        found = self._common_environment | {"RAY_ADDRESS": self.address}
        return found | ({"RAY_API_SERVER_ADDRESS": self.dashboard_address} if self._dashboard else {})

    def start(self) -> None:
        """Start the head, then the workers."""
        self.head = self._ports.enter_context(on_free_ports(self.head_on))
        self.workers = [self.add_worker() for _ in range(self._workers)]

    @contextmanager
    def head_on(self, ports: range) -> Iterator[Node]:
        """The head on given ports, which `stop` ends: it outlives `up`."""
        port, dashboard_port, *_ = ports
        self.address = f"127.0.0.1:{port}"
        self.dashboard_address = f"http://127.0.0.1:{dashboard_port}"
        dashboard = [f"--dashboard-port={dashboard_port}"] if self._dashboard else ["--include-dashboard=false"]
        head = self._start_node(
            "--head",
            f"--num-cpus={0 if self._workers else self._cpus}",  # fewer processes to start, each of which costs seconds
            f"--port={port}",
            f"--temp-dir={self.folder}",
            *dashboard,
            *self._options,
        )
        try:
            self._wait_for(head)  # a worker that finds no head yet gives up
        except RuntimeError:
            head.kill()
            raise
        yield head

    def add_worker(self, wrapper: Sequence[str] = ()) -> Node:
        """Start a worker node and wait for it: two that start at once take the same names for their sockets.

        wrapper: a command that runs the node's own, such as `unshare`
        """
        with self._starting:
            # A folder of its own: nodes that share one delete the uploaded code of a job under each other's processes.
            files = f"--temp-dir={self.folder / f'n{self._started + 1}'}"
            node = self._start_node(f"--address={self.address}", f"--num-cpus={self._cpus}", files, wrapper=wrapper)
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
        for node in self.nodes:
            node.kill()
        self._ports.close()
        self.nodes.clear()

    def restart(self) -> None:
        """A new cluster under a new address."""
        self.stop()
        self.start()

    def save(self, state: Path) -> None:
        """Write the nodes to a file, by which another process can end them."""
        nodes = [[node.process.pid, node.process.create_time(), str(node.log)] for node in self.nodes]
        state.write_text(json.dumps(nodes))

    def remove_files(self) -> None:
        """Remove Ray's files and the logs of the nodes."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_for(self, node: Node, seconds: float = 200) -> None:
        deadline = time.monotonic() + seconds
        while not node.alive:
            if node.ended or time.monotonic() > deadline:
                raise RuntimeError(f"a Ray node did not come up:\n{node.log.read_text(encoding='utf-8')[-3000:]}")
            time.sleep(0.05)

    def _start_node(self, *arguments: str, wrapper: Sequence[str] = ()) -> Node:
        command = [*wrapper, str(Path(sys.executable).with_name("ray")), "start", *self._common, *arguments]
        self._started += 1
        path = self.folder / f"node{self._started}.log"
        with path.open("wb") as log:
            process = psutil.Popen(
                command, env=self._environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        self.nodes.append(Node(process, path))
        return self.nodes[-1]


@contextmanager
def running_cluster(
    environment: Mapping[str, str],
    workers: int = 2,
    cpus: int = 1,
    object_store_mb: int = 100,
    options: tuple[str, ...] = (),
    dashboard: bool = False,
) -> Iterator[RayCluster]:
    """A cluster whose nodes have an environment."""
    cluster = RayCluster(environment, workers, cpus, object_store_mb, options, dashboard)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        cluster.remove_files()


def kill_saved_nodes(state: Path) -> None:
    """Kill the nodes that `RayCluster.save` has written to a file."""
    for pid, created, log in reversed(json.loads(state.read_text())):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1:  # else the id is another process's now
                Node(process, Path(log)).kill()


def kill(process: psutil.Process, number: int = signal.SIGKILL) -> bool:
    """Send a signal; False if the process has gone meanwhile."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


@contextmanager
def reserved_ports(blocks: Sequence[int] = ()) -> Iterator[range]:
    """A block of free loopback ports, which no other caller in any process gets until the context ends.

    Each block has a lock file, which the kernel unlocks when its process dies. The ports lie outside the range from
    which the kernel assigns (ip_local_port_range), so that nobody's outgoing connection takes one meanwhile.

    blocks: first ports to choose from; all outside that range if none is given

    Raises RuntimeError if none of them is free.
    """
    locks = Path(tempfile.gettempdir(), f"craft-ray-ports-{os.getuid()}")
    locks.mkdir(mode=0o700, exist_ok=True)
    blocks = blocks or _blocks()
    for first in random.sample(blocks, len(blocks)):
        ports = range(first, first + BLOCK)
        with (locks / str(first)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if all(map(_is_free, ports)):
                yield ports
                return
    raise RuntimeError("no free ports")


@contextmanager
def on_free_ports(server: Callable[[range], AbstractContextManager[T]]) -> Iterator[T]:
    """A server on reserved ports. If it raises RuntimeError while it starts, it is started again on others."""
    with ExitStack() as stack:
        for attempt in range(1, ATTEMPTS + 1):
            ports = stack.enter_context(reserved_ports())
            try:
                running = stack.enter_context(server(ports))
                break
            except RuntimeError:
                if attempt == ATTEMPTS:
                    raise
        yield running


def _blocks() -> list[int]:
    """First ports of all blocks outside the kernel's range, or of all blocks if none is outside."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    blocks = range(20_000, 55_000, BLOCK)  # Ray's workers and many well-known servers are below
    return [first for first in blocks if first + BLOCK <= low or first > high] or list(blocks)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


app = typer.Typer(no_args_is_help=True, add_completion=False, help=(__doc__ or "").split("\n\n")[0])
Folder = Annotated[Path, typer.Option(help="Where the cluster keeps its files; a short path.")]
FOLDER = Path("/tmp", f"craft-ray-cluster-{os.getuid()}")


@app.command()
def up(
    nodes: Annotated[int, typer.Option(min=1, help="The head and its workers.")] = 3,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs that each node has to give, whatever the machine has.")] = 1,
    folder: Folder = FOLDER,
) -> None:
    """Start a cluster, and say how to reach it."""
    state = folder / "nodes.json"
    if state.exists():
        raise typer.BadParameter(f"there is a cluster in {folder} already: end it with `down` first")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster = RayCluster({}, nodes - 1, cpus, 200, dashboard=True, folder=folder)
    try:
        cluster.start()
    except BaseException:
        cluster.stop()
        cluster.remove_files()
        raise
    cluster.save(state)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in cluster.environment.items()]
    (folder / "environment").write_text("\n".join([*lines, ""]))
    print(f"a head and {nodes - 1} workers are up: {cluster.address}, dashboard {cluster.dashboard_address}")
    print(f"    source {folder / 'environment'}")
    print('    ray job submit --working-dir . -- python jobs/annotate.py craft_ray/sample --output "$HOME/tables"')
    print(f"    python {Path(__file__).relative_to(ROOT)} down")


@app.command()
def down(folder: Folder = FOLDER) -> None:
    """End the cluster that `up` has started, and remove its files."""
    state = folder / "nodes.json"
    if not state.exists():
        raise typer.BadParameter(f"there is no cluster in {folder}")
    kill_saved_nodes(state)
    shutil.rmtree(folder)


if __name__ == "__main__":
    app()
