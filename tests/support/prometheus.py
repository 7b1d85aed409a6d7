"""A real Prometheus that scrapes a Ray cluster, where it is installed (Debian's package `prometheus`)."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

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

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now; none while the server is starting."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"{self.address}/api/v1/query?{query}", timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except URLError as error:
            if isinstance(error.reason, ConnectionRefusedError) or getattr(error, "code", None) == 503:
                return []
            raise


@contextmanager
def running_prometheus(folder: Path, port: int, discovery: Path) -> Iterator[Prometheus]:
    """Scrape what Ray's file for service discovery names."""
    assert PROMETHEUS is not None
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(discovery=discovery))
    command = [
        PROMETHEUS,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(timeout=30)
