"""The fuzzer itself, in a short form; in its long form with --long."""

import json
import subprocess
import sys

from tests.readers.fuzz import READERS


def test_no_reader_fails_on_bytes_that_coverage_leads_to(request):
    """All readers in the long form, three in the short one: each starts a process of its own."""
    inputs = 200_000 if request.config.getoption("long") else 400
    readers = READERS if request.config.getoption("long") else ["pubmed", "bioc-json", "tar"]
    command = [sys.executable, "-m", "tests.readers.fuzz", *readers, "--inputs", str(inputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results == [{"reader": reader, "inputs": inputs, "failures": {}} for reader in readers], done.stderr
    assert done.returncode == 0
