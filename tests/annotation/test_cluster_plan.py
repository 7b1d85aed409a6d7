"""Replicas, their threads and their claims, for nodes and settings."""

from dataclasses import asdict

import pytest

from craft_ray.annotation.cluster_plan import make_plan
from craft_ray.core.settings import Settings, load_settings


@pytest.mark.parametrize(
    ("nodes", "replicas", "threads", "device", "token_budget"),
    [
        ([{"CPU": 1}], 1, 1, "cpu", 512),
        ([{"CPU": 6}], 1, 6, "cpu", 512),
        ([{"CPU": 16}], 2, 8, "cpu", 512),
        ([{}, {"CPU": 16}, {"CPU": 8}], 3, 8, "cpu", 512),
        ([{"CPU": 4}, {"CPU": 16}], 5, 4, "cpu", 512),
        ([{"CPU": 12, "GPU": 1}, {"CPU": 12, "GPU": 3}, {"CPU": 64}], 4, 1, "cuda", 32_768),
    ],
)
def test_there_is_a_replica_per_gpu_or_per_eight_cores(
    nodes: list[dict[str, float]], replicas: int, threads: int, device: str, token_budget: int
):
    plan = make_plan(Settings(), nodes)
    assert (plan.replicas, plan.threads, plan.device, plan.token_budget) == (replicas, threads, device, token_budget)
    assert plan.replica_gpus == (device == "cuda")


def test_replicas_that_are_set_share_what_there_is():
    of_gpus = make_plan(Settings(replicas=4), [{"CPU": 12, "GPU": 1}])
    assert (of_gpus.replicas, of_gpus.replica_gpus) == (4, 0.25)
    assert make_plan(Settings(replicas=1), [{"CPU": 12, "GPU": 2}]).replica_gpus == 1
    of_cores = make_plan(Settings(replicas=4), [{"CPU": 16}])
    assert (of_cores.replicas, of_cores.threads, of_cores.replica_cpus) == (4, 4, 1.0)
    assert make_plan(Settings(token_budget=99), [{"CPU": 1}]).token_budget == 99


def test_replicas_leave_room_for_tasks_on_every_machine():
    for cpus in (1, 2, 4, 16, 64):
        for replicas in (None, 1, 2, 8):
            plan = make_plan(load_settings(replicas=replicas), [{"CPU": cpus}])
            assert plan.replicas * plan.replica_cpus + plan.read_cpus <= cpus
            assert len({plan.replica_cpus, plan.read_cpus, plan.write_cpus}) == 3
            assert plan.threads >= 1
            if replicas is None:
                assert plan.replicas * plan.threads <= cpus


def test_one_replica_for_each_gpu():
    plan = make_plan(load_settings(), [{"CPU": 16, "GPU": 4}, {"CPU": 16, "GPU": 4}])
    assert (plan.replicas, plan.device, plan.replica_gpus) == (8, "cuda", 1)


@pytest.mark.parametrize(
    ("settings", "bounds"),
    [({}, (8, 8)), ({"replicas": 2}, (2, 2)), ({"max_replicas": 20}, (8, 20)), ({"max_replicas": 3}, (3, 3))],
)
def test_the_bounds_of_the_pool_are_as_the_settings_say(settings: dict[str, int], bounds: tuple[int, int]):
    plan = asdict(make_plan(Settings(**settings), [{"CPU": 12, "GPU": 8}]))
    assert (plan["replicas"], plan["max_replicas"]) == bounds


@pytest.mark.parametrize(("gpus", "megabytes"), [(1, 16), (8, 16), (16, 32), (64, 128), (200, 128)])
def test_blocks_grow_with_the_number_of_gpus(gpus: int, megabytes: int):
    assert make_plan(Settings(), [{"CPU": 12, "GPU": 1}] * gpus).block_bytes == megabytes << 20


def test_blocks_stay_small_on_cpus_and_as_they_are_set():
    assert make_plan(Settings(), [{"CPU": 12}] * 64).block_bytes == 2 << 20
    assert make_plan(Settings(block_mb=4), [{"CPU": 12, "GPU": 8}] * 8).block_bytes == 4 << 20
