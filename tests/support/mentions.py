"""Mentions as a grounder takes them."""

from typing import Any

import numpy as np
import pyarrow as pa


def mention_table(*found: tuple[str, str], **columns: Any) -> pa.Table:
    """Mentions by label and words, as a grounder takes them. Without `columns` they are of one document."""
    labels, words = (pa.array([one[column] for one in found], pa.string()) for column in (0, 1))
    of_one = {"row": np.zeros(len(found), np.int64), "start": np.arange(len(found))}
    return pa.table({"label": labels, "mention": words} | of_one | columns)
