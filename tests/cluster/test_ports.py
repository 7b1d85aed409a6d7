"""Ports of servers are reserved between processes, and a server whose port was taken is started on others."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from cluster.local.cluster import ROOT, on_free_ports, reserved_ports


def test_ports_are_reserved_between_processes():
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    with reserved_ports() as ports:
        assert not set(ports) & set(range(low, high + 1))
        code = f"from cluster.local.cluster import reserved_ports\nwith reserved_ports([{ports[0]}]): pass"
        other = [sys.executable, "-c", code]
        done = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, check=False)
        assert "RuntimeError: no free ports" in done.stderr
    subprocess.run(other, cwd=ROOT, check=True)


@pytest.mark.parametrize(("failures", "tried"), [(1, 2), (9, 3)])
def test_a_server_that_does_not_start_is_tried_on_other_ports(failures: int, tried: int):
    """Up to three times, since another program may have taken a port after it was reserved."""
    starts: list[range] = []

    @contextmanager
    def server(ports: range) -> Iterator[None]:
        starts.append(ports)
        if len(starts) <= failures:
            raise RuntimeError("a bad option")
        yield

    with (
        pytest.raises(RuntimeError, match="a bad option") if failures > tried else nullcontext(),
        on_free_ports(server),
    ):
        pass
    assert len(set(starts)) == tried
