"""Replicas, their threads and their claims, by nodes and settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.core.settings import Settings

NODES = st.lists(st.builds(lambda cpus: {"CPU": float(cpus)}, st.integers(1, 128)), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("nodes", "replicas", "threads"),
    [
        ([{"CPU": 1}], 1, 1),
        ([{"CPU": 6}], 1, 6),
        ([{"CPU": 12}], 1, 12),
        ([{"CPU": 16}], 2, 8),
        ([{}, {"CPU": 16}, {"CPU": 8}], 3, 8),
        ([{"CPU": 4}, {"CPU": 16}], 5, 4),
        ([{"CPU": 4}] * 100, 100, 4),
        ([{"CPU": 64}] * 100, 800, 8),
        ([{"CPU": 2}, {"CPU": 64}], 8, 8),
        ([{"CPU": 2}, {"CPU": 64}, {"CPU": 12}], 9, 8),
    ],
)
def test_one_replica_for_eight_cores(nodes: list[dict[str, float]], replicas: int, threads: int):
    plan = make_plan(Settings(), nodes)
    assert (plan.replicas, plan.threads) == (replicas, threads)
    assert (plan.device, plan.token_budget, plan.replica_gpus) == ("cpu", 512, 0)


@pytest.mark.parametrize("gpus", [(1,), (1, 3), (4, 4), (0, 8)])
def test_one_replica_per_gpu(gpus: tuple[int, ...]):
    plan = make_plan(Settings(), [{"CPU": 64}, *({"CPU": 12, "GPU": count} for count in gpus)])
    assert (plan.replicas, plan.threads, plan.replica_gpus) == (sum(gpus), 1, 1)
    assert (plan.device, plan.token_budget) == ("cuda", 32_768)


def test_settings_override():
    nodes = [{"CPU": 16}]
    plan = make_plan(Settings(replicas=4), nodes)
    assert (plan.replicas, plan.threads, plan.replica_cpus) == (4, 4, 1.0)
    assert make_plan(Settings(token_budget=99), nodes).token_budget == 99
    assert make_plan(Settings(block_mb=4), [{"CPU": 12, "GPU": 8}] * 8).block_bytes == 4 << 20
    assert make_plan(Settings(replicas=1), [{"CPU": 12, "GPU": 2}]).replica_gpus == 1


@pytest.mark.parametrize(
    ("settings", "bounds"),
    [({}, (8, 8)), ({"replicas": 2}, (2, 2)), ({"max_replicas": 20}, (8, 20)), ({"max_replicas": 3}, (3, 3))],
)
def test_bounds_of_the_pool(settings: dict[str, int], bounds: tuple[int, int]):
    plan = make_plan(Settings(**settings), [{"CPU": 12, "GPU": 8}])
    assert (plan.replicas, plan.max_replicas) == bounds


@given(st.integers(1, 40), st.integers(1, 16))
def test_replicas_fit_on_the_gpus(replicas: int, gpus: int):
    """Ray places no replica across two GPUs."""
    plan = make_plan(Settings(replicas=replicas), [{"CPU": 64, "GPU": gpus}])
    assert gpus * int(1 / plan.replica_gpus) >= plan.replicas
    assert plan.replica_gpus > 0


@given(NODES, st.none() | st.integers(1, 64), st.sampled_from([0, 1, 4]))
def test_replicas_leave_room_for_tasks(nodes: list[dict[str, float]], replicas: int | None, gpus: int):
    nodes = [node | {"GPU": float(gpus)} for node in nodes]
    plan = make_plan(Settings(replicas=replicas), nodes)
    cpus = sum(node["CPU"] for node in nodes)
    assert plan.threads >= 1
    assert plan.replicas * plan.replica_cpus + plan.read_cpus <= cpus
    # Ray fuses stages that claim the same, and then reading, model and writing no longer overlap.
    assert len({plan.replica_cpus, plan.read_cpus, plan.write_cpus}) == 3
    if not gpus and replicas is None:
        assert plan.replicas * plan.threads <= cpus


@given(NODES, st.none() | st.integers(1, 64))
def test_no_replica_on_a_node_with_fewer_cores_than_threads(nodes: list[dict[str, float]], replicas: int | None):
    plan = make_plan(Settings(replicas=replicas), nodes)
    assert all(plan.threads <= node["CPU"] for node in nodes if plan.replica_cpus <= node["CPU"])


@pytest.mark.parametrize(
    ("node", "nodes", "megabytes"),
    [
        ({"CPU": 2}, 1, 2),
        ({"CPU": 64}, 1, 2),
        ({"CPU": 64}, 8, 12.8),
        ({"CPU": 12, "GPU": 1}, 1, 16),
        ({"CPU": 12, "GPU": 4}, 10, 54),
        ({"CPU": 12, "GPU": 8}, 25, 128),
    ],
)
def test_blocks_grow_with_the_rate_of_the_cluster(node: dict[str, float], nodes: int, megabytes: float):
    assert make_plan(Settings(), [node] * nodes).block_bytes == int(megabytes * (1 << 20))
