"""The file for Ray's cluster launcher: against the launcher's checks, EC2's API model and our commands."""

import json
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config

from craft_ray.core.settings import load_settings
from tests.support.commands import CLUSTER, ROOT, in_comments, parsed

FILE = CLUSTER / "aws" / "cluster.yaml"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The file with the launcher's defaults."""
    return dict(prepare_config(yaml.safe_load(FILE.read_text())))


def test_the_launcher_accepts_it(config: dict[str, Any]):
    validate_config(config)


def test_ec2_accepts_every_node(config: dict[str, Any]):
    request = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for node in config["available_node_types"].values():
        parameters = node["node_config"] | {"MinCount": 1, "MaxCount": 1}
        assert ParamValidator().validate(parameters, request).generate_report() == ""


def test_workers_are_spot_instances(config: dict[str, Any]):
    types = dict(config["available_node_types"])
    head = types.pop(config["head_node_type"])
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    for worker in types.values():
        assert worker["min_workers"] == 0
        assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert sum(worker["max_workers"] for worker in types.values()) <= config["max_workers"]
    assert config["provider"]["cache_stopped_nodes"] is False  # EC2 does not stop a one-time spot instance


def test_pools_can_grow_enough(config: dict[str, Any]):
    wanted = load_settings(CLUSTER / "aws" / "settings.yaml").wait_for
    types = config["available_node_types"]
    assert (
        0 < wanted.gpus <= types["gpu"]["max_workers"]
    )  # a g6.xlarge has one, and four cores; an m7i.2xlarge has eight
    assert 0 < wanted.cpus <= 4 * wanted.gpus + 8 * types["cpu"]["max_workers"]


def test_access_to_nodes(config: dict[str, Any]):
    (rule,) = config["provider"]["security_group"]["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
    assert all(entry["CidrIp"].endswith("/32") for entry in rule["IpRanges"])
    assert "/home/ubuntu/.ray/auth_token" in config["file_mounts"]
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])
    profiles = {
        name: node["node_config"]["IamInstanceProfile"]["Name"] for name, node in config["available_node_types"].items()
    }
    assert profiles == {"head": "craft-ray-head", "cpu": "craft-ray-worker", "gpu": "craft-ray-worker"}
    for node in config["available_node_types"].values():
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in node["node_config"]["BlockDeviceMappings"])
    assert not any(word in json.dumps(config) for word in ("AKIA", "aws_secret", "AWS_SECRET"))


def test_commands_are_valid(config: dict[str, Any]):
    commands = in_comments(FILE)
    lines = [parsed(line) for line in commands]
    assert len([line for line in lines if line]) == 6, commands
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    started = [parsed(part) for command in starts for part in command.split("; ") if part.startswith("ray ")]
    assert len(started) == 4
    head = started[1]
    assert head is not None
    assert (head["head"], head["num_cpus"], head["dashboard_host"]) == (True, 0, "127.0.0.1")
    (submitted,) = [line for line in lines if line and "working_dir" in line]
    assert (ROOT / submitted["working_dir"] / "settings.yaml").is_file()
