"""A Prometheus server that scrapes a Ray cluster (Debian's package `prometheus`)."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cluster.local.cluster import on_free_ports

PROMETHEUS = shutil.which("prometheus")

CONFIGURATION = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: ray
    file_sd_configs:
      - files: [{discovery}]
        refresh_interval: 1s
"""


@dataclass(frozen=True)
class Prometheus:
    address: str

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=1):
                return True
        except OSError:  # not listening yet, or it is another program that listens
            time.sleep(0.1)
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The current series of an expression."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"http://{self.address}/api/v1/query?{query}", timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])


@contextmanager
def running_prometheus(folder: Path, discovery: Path) -> Iterator[Prometheus]:
    """A server that scrapes what Ray's file for service discovery names."""
    with on_free_ports(partial(prometheus_on, folder, discovery)) as server:
        yield server


@contextmanager
def prometheus_on(folder: Path, discovery: Path, ports: range) -> Iterator[Prometheus]:
    assert PROMETHEUS is not None
    configuration, log = folder / "prometheus.yml", folder / "prometheus.log"
    configuration.write_text(CONFIGURATION.format(discovery=discovery))
    server = Prometheus(f"127.0.0.1:{ports[0]}")
    command = [
        PROMETHEUS,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / str(ports[0])}",
        f"--web.listen-address={server.address}",
    ]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        while not server.ready():
            if process.poll() is not None:
                raise RuntimeError(f"Prometheus did not start:\n{log.read_text()[-2000:]}")
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
