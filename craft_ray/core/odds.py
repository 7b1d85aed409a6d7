"""Conversion between probabilities and log odds."""

import numpy as np
from numpy.typing import NDArray


def log_odds(probability: NDArray[np.floating], edge: float) -> NDArray[np.float64]:
    """Log odds of probabilities, which are clipped to [edge, 1 - edge]."""
    inner = np.clip(probability.astype(np.float64), edge, 1 - edge)
    odds: NDArray[np.float64] = np.log(inner) - np.log1p(-inner)
    return odds


def probability(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
    return result
