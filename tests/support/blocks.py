"""Blocks as the model returns them."""

import numpy as np
import pyarrow as pa

from craft_ray.core.schema import Document
from craft_ray.model.tags import Predictions
from craft_ray.model.tokens import with_predictions


def labelled(
    documents: list[Document], tokens: dict[str, pa.ListArray], labels: np.ndarray, scores: np.ndarray | None = None
) -> pa.Table:
    """labels, scores: (units,) of one group; every score is 0.5 by default, and the label id 0 is outside"""
    unit = np.flatnonzero(labels).astype(np.int32)
    score = np.full(len(unit), 0.5, np.float32) if scores is None else scores[unit].astype(np.float32)
    return with_predictions(documents, tokens, Predictions(unit, labels[unit], score))
