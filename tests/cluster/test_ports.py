"""Ports of servers are reserved between processes, and a server whose port was taken is started on others."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from cluster.local.cluster import ROOT, on_free_ports, reserved_ports
from tests.support.s3_server import s3_server_on


def test_ports_are_reserved_between_processes():
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    with reserved_ports() as ports:
        assert not set(ports) & set(range(low, high + 1))
        code = f"from cluster.local.cluster import reserved_ports\nwith reserved_ports([{ports[0]}]): pass"
        other = [sys.executable, "-c", code]
        done = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, check=False)
        assert "RuntimeError: no free ports" in done.stderr
    subprocess.run(other, cwd=ROOT, check=True)


def test_a_server_that_never_starts_raises():
    ports = []

    @contextmanager
    def broken(tried: range) -> Iterator[None]:
        ports.append(tried)
        raise RuntimeError("a bad option")
        yield

    with pytest.raises(RuntimeError, match="a bad option"), on_free_ports(broken):
        pass
    assert len(set(ports)) == 3


@pytest.mark.integration
def test_a_server_whose_port_is_taken_starts_on_others(tmp_path: Path):
    starts: list[range] = []

    @contextmanager
    def hindered(ports: range) -> Iterator[object]:
        """The server; on its first ports another program listens, which took them after they were reserved."""
        starts.append(ports)
        with ExitStack() as stack:
            for port in ports if len(starts) == 1 else ():
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            yield stack.enter_context(s3_server_on(tmp_path, ports))

    with on_free_ports(hindered):
        assert len(starts) == 2
        assert starts[0] != starts[1]
