"""The number of replicas follows the cluster, within bounds."""

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest
import ray
import ray.data
from ray.cluster_utils import Cluster

from craft_ray.annotation.pipeline import replica_pool
from craft_ray.annotation.plan import Attempt
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import load_settings


@ray.remote(num_cpus=0)
class Register:
    """The replicas that have begun."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._names: set[str] = set()
        self._complete = asyncio.Event()

    async def enter(self, name: str) -> None:
        """Note a replica, and return once as many as are wanted are there."""
        self._names.add(name)
        if len(self._names) >= self._wanted:
            self._complete.set()
        await self._complete.wait()


class Replica:
    """Answers a block once there are as many replicas as its register waits for."""

    def __init__(self, register: "ray.actor.ActorHandle") -> None:
        self._register = register

    def __call__(self, block: pa.Table) -> pa.Table:
        ray.get(self._register.enter.remote(ray.get_runtime_context().get_actor_id()))
        return block


@pytest.mark.integration
@pytest.mark.long
def test_a_new_node_gets_replicas():
    """The first node has room for one; no block is answered before there are two."""
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        ray.init(cluster.address)
        register = Register.remote(2)
        blocks = ray.data.range(16, override_num_blocks=16).map_batches(
            Replica,
            fn_constructor_args=(register,),
            batch_format="pyarrow",
            compute=replica_pool(1, 4, Attempt.FIRST, on_gpus=False),
            num_cpus=1,
        )
        refs = blocks.iter_batches(batch_size=None)
        cluster.add_node(num_cpus=1)
        assert sorted(row for batch in refs for row in batch["id"].tolist()) == list(range(16))
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_bounds_in_the_wrong_order_are_a_bad_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"setting max_replicas.*less than replicas"):
        load_settings(replicas=4, max_replicas=3)
