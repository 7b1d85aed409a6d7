"""Calibrated scores: of the mentions with score 0.9, nine in ten are right.

The raw score of a mention, the mean probability of its words, is overconfident. Platt scaling (Platt 1999,
"Probabilistic outputs for support vector machines") maps it to sigmoid(slope * logit(score) + intercept), which keeps
the order of scores. Slope and intercept are fitted on the development set and stored with the checkpoint.
"""

import numpy as np
from numpy.typing import NDArray

from craft_ray.core.odds import log_odds, probability

IDENTITY = (1.0, 0.0)
"""Slope and intercept that leave scores unchanged."""

EDGE = 1e-6
"""Raw scores are clipped to this distance from 0 and 1, where the logit is infinite."""


def calibrated(score: NDArray[np.float32], calibration: tuple[float, float]) -> NDArray[np.float32]:
    """Apply a slope and an intercept to raw scores."""
    if calibration == IDENTITY:
        return score
    slope, intercept = calibration
    result: NDArray[np.float32] = probability(slope * log_odds(score, EDGE) + intercept).astype(np.float32)
    return result


def fit_calibration(score: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit slope and intercept by maximum likelihood.

    Returns IDENTITY for fewer than ten mentions, for mentions that are all right or all wrong, and where the fit would
    reverse the order of scores.

    score: (mentions,) raw; right: (mentions,)
    """
    if len(score) < 10 or right.all() or not right.any():
        return IDENTITY
    from sklearn.linear_model import LogisticRegression  # only training needs it

    # Almost no regularization: enough for a fit to exist where scores separate right from wrong.
    fit = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-8).fit(log_odds(score, EDGE)[:, None], right)
    slope, intercept = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    return (slope, intercept) if slope > 0 else IDENTITY
