"""Empty pools grow to what a run waits for, and only if there is work.

Ray's autoscaler runs with its provider for tests, whose nodes are processes. Their GPUs exist only as resources, which
is enough for a stand-in.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from cluster.local.cluster import RayCluster, on_free_ports, running_cluster
from craft_ray.core.connection import wait_for_resources
from craft_ray.core.errors import RunError
from craft_ray.core.settings import WaitForSettings
from tests.conftest import SAMPLE
from tests.support.commands import Finished, run_command

pytestmark = pytest.mark.integration

HEAD = "f" * 51 + "00000"
"""Id of the head node in Ray's provider for tests."""


@pytest.fixture(scope="module")
def empty_pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A head without cores, a pool of at most one node of two cores, and one of at most one GPU node."""
    with on_free_ports(partial(growing_cluster, tmp_path_factory.mktemp("growing"))) as cluster:
        yield cluster


@contextmanager
def growing_cluster(folder: Path, ports: range) -> Iterator[RayCluster]:
    port = ports[0]
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    config: dict[str, Any] = {
        "cluster_name": "growing",
        "max_workers": 2,
        "provider": {
            # as "external", for the wheel lacks the defaults of "fake_multinode"
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "head_node_id": HEAD,
            "gcs_address": f"127.0.0.1:{port}",
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "cpu": {"resources": {"CPU": 2, "object_store_memory": 100 << 20}, "node_config": {}, "max_workers": 1},
            "gpu": {
                "resources": {"CPU": 1, "GPU": 1, "object_store_memory": 100 << 20},
                "node_config": {},
                "max_workers": 1,
            },
        },
        **{f"{name}_commands": [] for name in commands},
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
    }
    file = folder / "autoscaling.yaml"
    file.write_text(yaml.safe_dump(config))
    environment = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    # Its port is given once more, and counts so, for the file has to name it.
    options = (f"--autoscaling-config={file}", "--num-gpus=0", f"--port={port}")
    with running_cluster(environment, workers=0, cpus=0, options=options) as cluster:
        cluster.address = f"127.0.0.1:{port}"
        yield cluster


def annotate(cluster: RayCluster, input: Path, output: Path, **wanted: str) -> Finished:
    wait_for = {f"CRAFT_RAY_WAIT_FOR__{name.upper()}": value for name, value in wanted.items()}
    environment = cluster.environment | wait_for
    command = ("annotate", input, "--output", output, "--model", "stand-in:40000", "--json")
    return run_command(*command, environment=environment)


def plan_of(output: Path, run_id: str) -> dict[str, Any]:
    return dict(json.loads((output / "runs" / f"{run_id}.json").read_text())["plan"])


@pytest.mark.long
def test_empty_pools_grow_only_for_work(empty_pools: RayCluster, tmp_path: Path):
    first = annotate(empty_pools, SAMPLE / "citations.xml", tmp_path, gpus="1", cpus="3", seconds="240")
    assert first.code == 0, first.stderr
    assert first.summary is not None
    plan = plan_of(tmp_path, first.summary["run_id"])
    assert (plan["device"], plan["replicas"], plan["replica_gpus"]) == ("cuda", 1, 1)
    # A run that requested 8 GPUs would log that they do not join.
    again = annotate(empty_pools, SAMPLE / "citations.xml", tmp_path, gpus="8", seconds="1")
    assert again.code == 0, again.stderr
    assert "joined the cluster" not in again.stderr
    some = annotate(empty_pools, SAMPLE, tmp_path, gpus="8", seconds="1")
    assert some.code == 0, some.stderr
    assert "1 of 8 GPUs joined the cluster in 1 s" in some.stderr


def test_a_run_fails_if_nothing_joins(local_ray: None):
    before = ray.util.placement_group_table().keys()
    with pytest.raises(RunError, match="0 of 1 GPUs joined the cluster"):
        wait_for_resources(WaitForSettings(gpus=1, cpus=1, seconds=0.2), threading.Event())
    states = {group["state"] for key, group in ray.util.placement_group_table().items() if key not in before}
    assert states == {"REMOVED"}


def test_a_signal_ends_the_wait(local_ray: None):
    stop = threading.Event()
    stop.set()
    wait_for_resources(WaitForSettings(gpus=1, seconds=60), stop)
