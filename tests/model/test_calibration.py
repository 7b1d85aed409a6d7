"""Calibration of scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from craft_ray.model.calibration import IDENTITY, calibrated, fit_calibration
from craft_ray.training.metrics import expected_calibration_error


def overconfident(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose log odds are about twice what they should be, and whether each mention is right."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(1.0, 1.5, count)
    right = generator.random(count) < 1 / (1 + np.exp(-odds))
    return (1 / (1 + np.exp(-(2 * odds + 0.5)))).astype(np.float32), right


def test_fit_corrects_overconfidence():
    calibration = fit_calibration(*overconfident(20_000))
    assert calibration == pytest.approx((0.5, -0.25), abs=0.05)
    score, right = overconfident(20_000, seed=1)
    assert expected_calibration_error(score, right) > 0.05
    assert expected_calibration_error(calibrated(score, calibration), right) < 0.015


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30), st.floats(0.1, 3), st.floats(-3, 3))
def test_order_is_kept(scores, slope, intercept):
    result = calibrated(np.sort(np.array(scores, np.float32)), (slope, intercept))
    assert (np.diff(result) >= 0).all()
    assert ((result >= 0) & (result <= 1)).all()


RISING = np.linspace(0.05, 0.95, 200).astype(np.float32)


@pytest.mark.parametrize(
    "right",
    [[True] * 20, [False] * 20, [True, False] * 2, np.random.default_rng(0).random(200) > RISING],
    ids=["all right", "all wrong", "too few", "reversed"],
)
def test_no_fit(right):
    score = RISING[: len(right)]
    assert fit_calibration(score, np.array(right)) == IDENTITY
    assert calibrated(score, IDENTITY) is score
