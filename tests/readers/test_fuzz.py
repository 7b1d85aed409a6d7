import json
import subprocess
import sys

from tests.readers.fuzz import READERS


def test_fuzzed_readers(request):
    """All readers with --long, else three, since each starts a process."""
    inputs = 200_000 if request.config.getoption("long") else 400
    readers = READERS if request.config.getoption("long") else ["pubmed", "bioc-json", "tar"]
    command = [sys.executable, "-m", "tests.readers.fuzz", *readers, "--inputs", str(inputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert results == [{"reader": reader, "inputs": inputs, "failures": {}} for reader in readers], done.stderr
