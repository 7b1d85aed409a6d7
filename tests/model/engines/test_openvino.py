"""OpenVINO: what it may do beside computing. That it computes the same as torch is in test_model.py."""

import os
import subprocess
import sys
from pathlib import Path


def test_nobody_is_told_of_what_is_converted_and_run(tmp_path: Path):
    """OpenVINO's telemetry, where it is on, leaves its client's id in the home folder."""
    ask = "from craft_ray import Tagger; import sys; print(Tagger.load().tag('The mouse.')[0].mention, *sys.modules)"
    # It would spare what it takes for a CI job.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", ask],
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
