"""The alert rules and the dashboard for Prometheus."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from craft_ray.annotation.prometheus import COMMIT_SECONDS, COUNTERS
from tests.support.commands import CLUSTER

RULES = yaml.safe_load((CLUSTER / "alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = json.loads((CLUSTER / "grafana.json").read_text())["panels"]
SHOWN = [target["expr"].replace("$__rate_interval", "1m") for panel in PANELS for target in panel["targets"]]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_accepts_all_expressions(tmp_path: Path):
    shown = [{"record": f"panel{number}", "expr": expression} for number, expression in enumerate(SHOWN)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [*RULES, *shown]}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in RULES), *SHOWN])
def test_expressions_use_existing_metrics(expression: str):
    known = {f"ray_{name}_total": tags for name, (_, tags) in COUNTERS.items()}
    known |= {f"ray_{COMMIT_SECONDS}_{part}": ("kind", "le") for part in ("count", "bucket")}
    asked = re.findall(r"(?:by \(([\w, ]+)\) \(\w+\()?(ray_\w+)(?:\{(\w+)=)?", expression)
    assert asked
    for grouped, metric, tag in asked:
        assert {*filter(None, [*grouped.split(", "), tag])} <= {*known[metric]}


def test_every_metric_is_shown_and_every_alert_says_what_to_do():
    for name in (*(f"ray_{name}_total" for name in COUNTERS), f"ray_{COMMIT_SECONDS}_bucket"):
        assert name in " ".join(SHOWN)
    assert all(rule["annotations"]["action"] for rule in RULES)
