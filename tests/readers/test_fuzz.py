import json
import subprocess
import sys

import pytest

from tests.readers.fuzz import READERS

IN_THE_GATE = ("pubmed", "bioc-json", "tar")


@pytest.mark.parametrize(
    "reader", [name if name in IN_THE_GATE else pytest.param(name, marks=pytest.mark.long) for name in READERS]
)
def test_fuzzed_reader(reader: str, request: pytest.FixtureRequest):
    inputs = 200_000 if request.config.getoption("long") else 400
    command = [sys.executable, "-m", "tests.readers.fuzz", reader, "--inputs", str(inputs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"inputs": inputs, "failures": {}}
