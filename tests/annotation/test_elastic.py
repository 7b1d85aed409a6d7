"""The number of replicas follows the cluster, within bounds."""

from pathlib import Path

import pytest

from craft_ray.annotation.pipeline import replica_pool
from craft_ray.annotation.plan import Attempt
from craft_ray.core.errors import SettingsError
from craft_ray.core.settings import load_settings


@pytest.mark.parametrize(("attempt", "in_flight"), [(Attempt.FIRST, None), (Attempt.ISOLATE, 1)])
def test_ray_scales_the_pool_within_its_bounds(attempt: Attempt, in_flight: int | None):
    pool = replica_pool(2, 5, attempt, on_gpus=False)
    assert (pool.min_size, pool.max_size, pool.max_tasks_in_flight_per_actor) == (2, 5, in_flight)


def test_bounds_in_the_wrong_order_are_a_bad_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"setting max_replicas.*less than replicas"):
        load_settings(replicas=4, max_replicas=3)
