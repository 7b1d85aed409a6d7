"""One sentence tells of a Ray that does not come up; a home that cannot be written does not keep it down."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from craft_ray.core.connection import ray_session
from craft_ray.core.errors import CraftRayError
from craft_ray.core.settings import load_settings
try:
    with ray_session(load_settings()):
        print("up")
except CraftRayError as error:
    print(error.exit_code, error)
"""


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        pytest.param("HOME", "/proc/nowhere", "up", marks=pytest.mark.integration),
        ("RAY_TMPDIR", "/proc/nowhere", "1 a local Ray does not start: [Errno 2] No such file or directory"),
        ("RAY_ADDRESS", "nonsense", "2 cannot reach the Ray cluster nonsense: "),
    ],
)
def test_it_ends_with_its_exit_code_and_one_sentence(variable: str, value: str, told: str):
    environment = os.environ | {variable: value}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(told)
    assert done.stdout.count("\n") == 1
