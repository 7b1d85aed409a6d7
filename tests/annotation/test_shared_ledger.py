"""The ledger that the driver shares through a real Ray."""

import numpy as np
import pytest
import ray

from craft_ray.annotation.prepare import SharedLedger
from craft_ray.core.connection import ray_session
from craft_ray.core.settings import Settings
from craft_ray.tables.ledger import COLUMNS, Ledger, Outcome, entries

IDS = np.arange(100_000)


def outcomes(ledger: Ledger, *ids: int) -> list[int]:
    return ledger.outcomes(entries(ids, ids, [1] * len(ids), [False] * len(ids)))[0].tolist()


def outcomes_in_a_task(shared: SharedLedger) -> list[int]:
    ledger = shared.opened()
    assert not ledger.parts[0].id.flags.owndata, "a task maps it"
    return outcomes(ledger, 5, 6, 200_000)


@pytest.mark.integration
def test_later_updates_do_not_change_a_shared_ledger():
    ledger = Ledger.of(entries(IDS, IDS, np.ones(len(IDS)), IDS < 0))
    with ray_session(Settings()):
        shared = SharedLedger.of(ledger)
        first = shared.opened()
        for name in COLUMNS:
            assert np.shares_memory(getattr(ledger.parts[0], name), getattr(first.parts[0], name))
        ledger.update(entries([5, 200_000], [50, 2], [1, 1], [False, False]))
        ledger.record_duplicates(np.array([6]), np.array([9]))
        assert ray.get(ray.remote(outcomes_in_a_task).remote(shared)) == [
            Outcome.UNCHANGED,
            Outcome.UNCHANGED,
            Outcome.NEW,
        ]
        again = SharedLedger.of(ledger).opened()
        assert outcomes(again, 5, 200_000) == [Outcome.REVISED, Outcome.REVISED]
        existing, _ = again.lookup(np.array([200_000, 6]))
        assert existing["in_run"].tolist() == [True, False]
        assert existing["duplicated"].tolist() == [False, True]
