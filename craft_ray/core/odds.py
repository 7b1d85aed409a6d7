"""Probabilities as log odds, and back; pure."""

import numpy as np
from numpy.typing import NDArray


def log_odds(probability: NDArray[np.floating], edge: float) -> NDArray[np.float64]:
    """The log odds of each probability; those nearer to 0 or 1 than `edge` count as `edge` away."""
    inner = np.clip(probability.astype(np.float64), edge, 1 - edge)
    odds: NDArray[np.float64] = np.log(inner) - np.log1p(-inner)
    return odds


def probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of each log odds."""
    result: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return result
