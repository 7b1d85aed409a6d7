"""The ledger that the driver shares through a real Ray."""

import numpy as np
import pytest
import ray

from craft_ray.annotation.shared_ledger import SharedLedger
from craft_ray.core.connection import ray_session
from craft_ray.core.settings import Settings
from craft_ray.tables.ledger import COLUMNS, Ledger, Outcome, State, entries

IDS = np.arange(100_000)


def outcomes_in_a_task(shared: SharedLedger) -> list[int]:
    ledger = shared.opened()
    assert not ledger.parts[0].id.flags.owndata, "a task maps it"
    return [int(ledger.outcome(id, id, 1)) for id in (5, 6, 200_000)]


@pytest.mark.integration
def test_driver_and_tasks_have_one_ledger_which_the_drivers_later_entries_leave_as_it_was():
    ledger = Ledger.of(entries(IDS, IDS, np.ones(len(IDS)), IDS < 0))
    with ray_session(Settings()):
        shared = SharedLedger.of(ledger)
        first = shared.opened()
        for name in COLUMNS:
            assert np.shares_memory(getattr(ledger.parts[0], name), getattr(first.parts[0], name))
        ledger.update(entries([5, 200_000], [50, 2], [1, 1], [False, False]), State.WAITING)
        ledger.record_duplicates(np.array([6]), np.array([9]))
        ledger.written()
        assert ray.get(ray.remote(outcomes_in_a_task).remote(shared)) == [
            Outcome.UNCHANGED,
            Outcome.UNCHANGED,
            Outcome.NEW,
        ]
        again = SharedLedger.of(ledger).opened()
        assert [again.outcome(id, id, 1) for id in (5, 200_000)] == [Outcome.REVISED, Outcome.REVISED]
        assert again.held(200_000)["state"] == State.WRITTEN
        assert again.held(6)["duplicate"]
