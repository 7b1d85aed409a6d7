"""The alert rules for Prometheus."""

import re
import shutil
import subprocess

import pytest
import yaml

from craft_ray.annotation.prometheus import COMMIT_SECONDS, COUNTERS
from tests.support.commands import CLUSTER

ALERTS = CLUSTER / "alerts.yaml"
RULES = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_the_rules():
    done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rules_use_existing_metrics(rule: dict):
    known = {f"ray_{name}_total": tags for name, (_, tags) in COUNTERS.items()}
    known |= {f"ray_{COMMIT_SECONDS}_{part}": ("kind", "le") for part in ("count", "bucket")}
    asked = re.findall(r"(ray_\w+)(?:\{(\w+)=)?", rule["expr"])
    assert asked
    for metric, tag in asked:
        assert metric in known
        assert not tag or tag in known[metric]
    assert rule["annotations"]["action"]
