"""A Ray that does not start, and stderr while one starts."""

import os
import subprocess
import sys

import pytest

START_RAY = """
from craft_ray.core.connection import ray_session
from craft_ray.core.errors import CraftRayError
from craft_ray.core.settings import load_settings
try:
    with ray_session(load_settings()):
        print("up")
except CraftRayError as error:
    print(error.exit_code, error)
"""

LOG_IN_A_THREAD = """
import os, threading
from craft_ray.core.connection import native_stderr_discarded
from craft_ray.core.logs import configure_logging, log
configure_logging("text")
with native_stderr_discarded():
    os.system("echo native >&2")
    thread = threading.Thread(target=lambda: log.warning("from the model"))
    thread.start()
    thread.join()
log.warning("afterwards")
print("done")
"""


@pytest.mark.parametrize(
    ("variable", "value", "printed"),
    [
        pytest.param("HOME", "/proc/nowhere", "up", marks=pytest.mark.integration),
        ("RAY_TMPDIR", "/proc/nowhere", "1 a local Ray does not start: [Errno 2] No such file or directory"),
        ("RAY_ADDRESS", "nonsense", "2 cannot reach the Ray cluster nonsense: "),
    ],
)
def test_starting_ray(variable: str, value: str, printed: str):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    environment[variable] = value
    done = subprocess.run(
        [sys.executable, "-c", START_RAY], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(printed)
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("redirection", "logged"), [("", "from the model\nafterwards\n"), ("2>&-", "")], ids=["stderr", "closed"]
)
def test_logs_while_ray_starts(redirection: str, logged: str):
    command = ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, LOG_IN_A_THREAD]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", logged)
