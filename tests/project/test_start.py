"""Heavy packages are imported only where they are needed."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("program", "heavy"),
    [
        (
            "import craft_ray.annotation.replica",
            ["torch", "transformers", "openvino", "deltalake", "fsspec", "lxml", "structlog"],
        ),
        ("import craft_ray.annotation.prepare", ["torch", "transformers", "openvino", "deltalake", "structlog"]),
        ("import craft_ray.annotation.write", ["torch", "transformers", "openvino", "deltalake", "lxml", "structlog"]),
        (
            "from craft_ray.cli.app import app; app(['--help'], standalone_mode=False)",
            ["torch", "transformers", "openvino", "numpy", "pyarrow", "ray", "duckdb", "deltalake"],
        ),
        (
            "import os, sys; os._exit = sys.exit\n"
            "sys.argv[1:] = ['show', 'Pax6 in the mouse.', '--model', 'stand-in']\n"
            "from craft_ray.cli import main\n"
            "try: main()\nexcept SystemExit as end: assert not end.code",
            [
                *("ray", "torch", "transformers", "pandas", "duckdb", "deltalake", "lxml", "fsspec", "botocore"),
                *("pydantic_settings", "yaml", "asyncio", "pyarrow.fs", "rich.progress", "craft_ray.cli.annotate"),
            ],
        ),
        ("from craft_ray.model.engines.openvino import _import_openvino as run; run()", ["openvino.tools", "numpy.ma"]),
        ("import craft_ray", ["torch", "transformers", "openvino", "pyarrow", "ray"]),
        (
            "import craft_ray.annotation.run; from craft_ray.model.loading import load_checkpoint; load_checkpoint()",
            ["ray", "torch", "transformers", "openvino"],
        ),
        (
            "from craft_ray.annotation.check import Inputs, check; from craft_ray.core.settings import Settings\n"
            "check(Inputs(['craft_ray/sample']), Settings())",
            ["ray", "torch", "transformers", "openvino"],
        ),
    ],
    ids=[
        *(
            "a replica on a CPU",
            "a read task",
            "a write task",
            "the help of the command",
            "a text shown",
            "OpenVINO",
            "the package",
        ),
        *("a run without work", "a check"),
    ],
)
def test_no_heavy_imports(program: str, heavy: list[str]):
    code = f"{program}\nimport sys\nprint('loaded', *[name for name in {heavy} if name in sys.modules])"
    without_settings = {name: value for name, value in os.environ.items() if not name.startswith("CRAFT_RAY_")}
    for _ in range(2):  # the first start of all fills the user's cache
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=without_settings
        )
    assert done.stdout.splitlines()[-1].split() == ["loaded"]
