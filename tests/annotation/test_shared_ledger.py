"""The ledger that the driver shares through a real Ray."""

import numpy as np
import pytest
import ray

from craft_ray.annotation.prepare import SharedLedger
from craft_ray.core.connection import ray_session
from craft_ray.core.settings import Settings
from craft_ray.tables.ledger import COLUMNS, Ledger, Outcome, entries

IDS = np.arange(100_000)


def outcomes_in_a_task(shared: SharedLedger) -> list[int]:
    ledger = shared.opened()
    assert not ledger.parts[0].id.flags.owndata, "a task maps it"
    known = entries([5, 200_000], [5, 200_000], [1, 1], [False, False])
    return ledger.outcomes(known)[0].tolist()


@pytest.mark.integration
def test_later_updates_do_not_change_a_shared_ledger():
    ledger = Ledger.of(entries(IDS, IDS, np.ones(len(IDS)), IDS < 0))
    with ray_session(Settings()):
        shared = SharedLedger.of(ledger)
        for name in COLUMNS:
            assert np.shares_memory(getattr(ledger.parts[0], name), getattr(shared.opened().parts[0], name))
        ledger.update(entries([5, 200_000], [50, 2], [1, 1], [False, False]))
        assert ray.get(ray.remote(outcomes_in_a_task).remote(shared)) == [Outcome.UNCHANGED, Outcome.NEW]
