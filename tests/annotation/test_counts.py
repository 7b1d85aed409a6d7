"""Every document that is found counts once; that sums agree in any order of arrival is in test_order.py."""

import numpy as np
import pytest

from craft_ray.annotation.counts import CHANGES, Counts, changes, restart


@pytest.mark.parametrize("change", CHANGES.values())
def test_each_document_changes_one_count_by_one(change: Counts):
    assert sorted(change) == [0, 0, 1]


def test_changes_of_many_documents():
    outcomes = np.array([outcome for outcome, _ in CHANGES], np.int8)
    in_run = np.array([in_run for _, in_run in CHANGES])
    assert [Counts(*row) for row in changes(outcomes, in_run).tolist()] == list(CHANGES.values())


def test_restart_leaves_what_is_committed():
    assert restart(Counts(committed=3, unchanged=2, superseded=1)) == Counts(0, -2, -4)
