"""Heavy packages are imported only where they are needed."""

import os
import subprocess
import sys

import pytest

TORCH = "torch transformers openvino"

PROGRAMS = {
    "a replica on a CPU": ("import craft_ray.annotation.replica", f"{TORCH} deltalake fsspec lxml structlog"),
    "a read task": ("import craft_ray.annotation.prepare", f"{TORCH} deltalake structlog"),
    "a write task": ("import craft_ray.annotation.write", f"{TORCH} deltalake lxml structlog"),
    "the help of the command": (
        "from craft_ray.cli.app import app; app(['--help'], standalone_mode=False)",
        f"{TORCH} numpy pyarrow ray duckdb deltalake",
    ),
    "a text shown": (
        "import os, sys; os._exit = sys.exit\n"
        "sys.argv[1:] = ['show', 'Pax6 in the mouse.', '--model', 'stand-in']\n"
        "from craft_ray.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code",
        "ray torch transformers pandas duckdb deltalake lxml fsspec botocore pydantic_settings yaml asyncio "
        "pyarrow.fs rich.progress craft_ray.cli.annotate",
    ),
    "OpenVINO": (
        "from craft_ray.model.engines.openvino import _import_openvino as run; run()",
        "openvino.tools numpy.ma",
    ),
    "the package": ("import craft_ray", f"{TORCH} pyarrow ray"),
    "a run without work": (
        "import craft_ray.annotation.run; from craft_ray.model.loading import load_checkpoint; load_checkpoint()",
        f"{TORCH} ray",
    ),
    "a check": (
        "from craft_ray.annotation.check import Inputs, check; from craft_ray.core.settings import Settings\n"
        "check(Inputs(['craft_ray/sample']), Settings())",
        f"{TORCH} ray",
    ),
}
"""Programs, and packages that they must not import."""


@pytest.mark.parametrize(("program", "heavy"), PROGRAMS.values(), ids=PROGRAMS)
def test_no_heavy_imports(program: str, heavy: str):
    code = f"{program}\nimport sys\nprint('loaded', *[name for name in {heavy.split()} if name in sys.modules])"
    without_settings = {name: value for name, value in os.environ.items() if not name.startswith("CRAFT_RAY_")}
    for _ in range(2):  # the first start of all fills the user's cache
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=without_settings
        )
    assert done.stdout.splitlines()[-1].split() == ["loaded"]
