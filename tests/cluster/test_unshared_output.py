"""A node that lacks the file system of the output ends the run, and nothing is written to a disk of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.local.cluster import running_cluster
from tests.support.outputs import data_files

pytestmark = [pytest.mark.integration, pytest.mark.long]

UNSHARED = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"']
"""Runs a command that sees an empty folder in place of the shared one."""


def test_a_node_without_the_output(tmp_path: Path):
    shared = tmp_path / "shared"
    shared.mkdir()
    tried = subprocess.run([*UNSHARED, shared, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespaces here: {tried.stderr.strip()}")
    notes = tmp_path / "notes.jsonl"
    notes.write_text(json.dumps({"id": "n", "text": "Mice."}) + "\n")
    with running_cluster({}, workers=0, options=("--num-cpus=0",)) as cluster:
        cluster.add_worker([*UNSHARED, str(shared)])
        command = [Path(sys.executable).with_name("craft-ray"), "annotate", notes, "--output", shared / "tables"]
        options = ["--model", "stand-in", "--settings", "/dev/null"]
        done = subprocess.run(
            [*command, *options], env=os.environ | cluster.environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "does not reach the output" in done.stderr
    assert "give an s3:// address, or a path on a file system that all nodes share" in done.stderr
    assert data_files(shared / "tables") == set()
