"""What OpenVINO must not do. That it agrees with torch is in test_inference.py."""

import os
import subprocess
import sys
from pathlib import Path


def test_no_telemetry(tmp_path: Path):
    """OpenVINO's telemetry, where it is on, writes a client id to the home folder."""
    code = (
        "from craft_ray import Tagger; import sys; mention = Tagger.load().tag('The mouse.')[0].mention\n"
        "from openvino import convert_model; print(mention, *sys.modules)"
    )
    # Telemetry is off in CI jobs.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    mention, *modules = done.stdout.split()
    assert mention == "mouse"
    assert "openvino.tools.ovc" in modules
    assert not [name for name in modules if name.startswith("openvino_telemetry.")]
    assert not (tmp_path / "intel").exists()
