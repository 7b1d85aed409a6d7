"""Scores that mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.calibration import IDENTITY, calibrated, fit_calibration
from craft_ray.training.metrics import expected_calibration_error


def overconfident(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose odds are twice what they should be, and whether each mention is right."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(1.0, 1.5, count)
    right = generator.random(count) < 1 / (1 + np.exp(-odds))
    return (1 / (1 + np.exp(-(2 * odds + 0.5)))).astype(np.float32), right


def test_overconfident_scores_come_to_mean_what_they_say():
    score, right = overconfident(20_000)
    calibration = fit_calibration(score, right)
    assert calibration == pytest.approx((0.5, -0.25), abs=0.05)
    fresh, fresh_right = overconfident(20_000, seed=1)
    assert expected_calibration_error(fresh, fresh_right) > 0.05
    assert expected_calibration_error(calibrated(fresh, calibration), fresh_right) < 0.015


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30), st.floats(0.1, 3), st.floats(-3, 3))
def test_calibration_keeps_the_order_of_scores_and_stays_a_probability(scores, slope, intercept):
    score = np.sort(np.array(scores, np.float32))
    result = calibrated(score, (slope, intercept))
    assert (np.diff(result) >= 0).all()
    assert ((result >= 0) & (result <= 1)).all()


@pytest.mark.parametrize("right", [[True] * 20, [False] * 20, [True, False] * 2])
def test_where_nothing_can_be_learnt_scores_stay_as_they_are(right):
    score = np.linspace(0.1, 0.9, len(right)).astype(np.float32)
    assert fit_calibration(score, np.array(right)) == IDENTITY
    assert calibrated(score, IDENTITY) is score


def test_scores_that_tell_the_wrong_way_are_left_alone():
    score = np.linspace(0.05, 0.95, 200).astype(np.float32)
    assert fit_calibration(score, score < np.random.default_rng(0).random(200)) == IDENTITY
