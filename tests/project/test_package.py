"""The sdist and the wheel hold the package and its weights, and the installed wheel works."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from craft_ray import __version__
from craft_ray.model.loading import SHIPPED
from craft_ray.model.weights import PACKED_FILE
from tests.support.clean_copy import copy_tracked, tracked
from tests.support.readmes import ROOT

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an sdist and a wheel, built from tracked files."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    copy_tracked(source)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_both_hold_the_package_and_the_weights(built: Path):
    with tarfile.open(built / f"craft_ray-{__version__}.tar.gz") as sdist:
        in_sdist = {name.partition("/")[2] for name in sdist.getnames()}
    with zipfile.ZipFile(built / f"craft_ray-{__version__}-py3-none-any.whl") as wheel:
        in_wheel = set(wheel.namelist())
    of_rooms = {name for name in tracked("craft_ray") if (ROOT / name).with_name("__init__.py").exists()}
    ours = {name for name in tracked("craft_ray") if not (name in of_rooms and name.endswith("README.md"))}
    assert {f"craft_ray/models/{name}/{PACKED_FILE}" for name in SHIPPED} <= ours
    assert ours <= in_wheel
    assert ours <= in_sdist


def test_the_wheel_is_small(built: Path):
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size < 60_000_000


def test_the_installed_wheel_works(built: Path, tmp_path: Path):
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path, wheel]
    subprocess.run(install, check=True, capture_output=True)
    code = "import craft_ray, craft_ray.cli; print(craft_ray.__file__); craft_ray.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "show", "Pax6 is expressed in the mouse eye."],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path))
    assert "[Pax6|Protein] is expressed in the [mouse|Taxon] eye." in done.stdout
