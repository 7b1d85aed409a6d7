"""Scores that mean what they say: of mentions with score 0.9, nine of ten are right; pure.

A mention's raw score, the mean probability of its words, is too sure of itself. Platt scaling (Platt 1999,
"Probabilistic outputs for support vector machines") maps it by sigmoid(slope * logit(score) + intercept), which keeps
the order of scores; slope and intercept are fitted on the development set and travel with the checkpoint.
"""

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.odds import log_odds, probability

NONE = (1.0, 0.0)
"""The calibration that leaves scores as they are."""

EDGE = 1e-6
"""How near to 0 and 1 raw scores count."""


def calibrated(score: NDArray[np.float32], calibration: tuple[float, float]) -> NDArray[np.float32]:
    """(mentions,) raw scores by a slope and an intercept."""
    if calibration == NONE:
        return score
    slope, intercept = calibration
    result: NDArray[np.float32] = probability(slope * log_odds(score, EDGE) + intercept).astype(np.float32)
    return result


def fit_calibration(score: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept of the most likely calibration, by Newton's method.

    Mentions that are all right or all wrong, or too few to tell, leave scores as they are; so does a fit that would
    turn the order of scores around.

    score: (mentions,) raw; right: (mentions,) whether each is right
    """
    if len(score) < 10 or right.all() or not right.any():
        return NONE
    inputs = np.column_stack([log_odds(score, EDGE), np.ones(len(score))])
    weights = np.array(NONE)
    for _ in range(100):
        expected = probability(inputs @ weights)
        gradient = inputs.T @ (right - expected)
        curvature = (inputs * (expected * (1 - expected))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    return (float(weights[0]), float(weights[1])) if weights[0] > 0 else NONE
